"""The mean head in numbers: where things lie, in centimetres, in the head's own frame. Everybody else builds on these.

Frame: x to the picture's right when the head looks at the camera (the person's left), y up, z out of the face towards
the camera. y = 0 is the height of the pupils, x = 0 the midline, z = 0 the plane of the ear canals. All constants are
hand-chosen round figures in the range of textbook adult anthropometry; none is a measurement of any person. This module
holds numbers only.
"""

from typing import Final

Point = tuple[float, float, float]

EYE_X: Final = 3.15  # half the distance between the pupils
EYEBALL_RADIUS: Final = 1.2
IRIS_RADIUS: Final = 0.59
EYEBALL_CENTRE: Final[Point] = (EYE_X, 0.0, 7.1)
EYE_FRONT_Z: Final = 8.3  # front of the cornea
EYE_HALF_WIDTH: Final = 1.5  # inner to outer corner is 3.0
EYE_HALF_HEIGHT: Final = 0.5  # lid aperture, neutral

GLABELLA: Final[Point] = (0.0, 2.6, 9.6)
NASION: Final[Point] = (0.0, 0.6, 9.2)
NOSE_TIP: Final[Point] = (0.0, -4.0, 11.7)
SUBNASALE: Final[Point] = (0.0, -5.1, 9.9)
STOMION: Final[Point] = (0.0, -6.9, 9.9)  # where the lips meet
MOUTH_CORNER: Final[Point] = (2.55, -6.9, 8.8)
UPPER_LIP_HEIGHT: Final = 0.75
LOWER_LIP_HEIGHT: Final = 0.95
POGONION: Final[Point] = (0.0, -10.0, 9.5)  # front of the chin
MENTON: Final[Point] = (0.0, -11.2, 8.6)  # lowest point of the chin
GONION: Final[Point] = (5.4, -8.2, 1.5)  # jaw corner
ZYGION: Final[Point] = (6.7, -2.0, 4.5)  # widest point of the cheekbone
BROW_Y: Final = 2.0  # middle of the brow, above the pupil
TRICHION: Final[Point] = (0.0, 7.0, 8.0)  # hairline on the midline
VERTEX: Final[Point] = (0.0, 11.2, -0.5)  # top of the head
OCCIPUT: Final[Point] = (0.0, 0.0, -9.6)
PIVOT: Final[Point] = (0.0, -6.0, 0.0)  # the head turns and nods about this point
