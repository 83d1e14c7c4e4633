"""JPEG, by the one encoder whose bytes are promised to stay: libjpeg-turbo, as simplejpeg ships it.

This module does not know what the pictures show.
"""

import numpy as np
import simplejpeg


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """A picture uint8 (H, W, 3) RGB as a JPEG with full colour resolution (4:4:4)."""
    encoded: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality=quality, colorspace="RGB", colorsubsampling="444"
    )
    return encoded
