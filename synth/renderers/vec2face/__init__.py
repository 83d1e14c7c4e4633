"""Vec2Face and Vec2Face+ with their official weights, and Vec2Face with weights of our own.

What `synth.training` trains lies in `trained`; everything else in this package is its own business.
"""

from synth.renderers.vec2face.renderer import Vec2FacePlusRenderer, Vec2FaceRenderer
from synth.renderers.vec2face.trained_renderer import Vec2FaceTrainedRenderer

__all__ = ["Vec2FacePlusRenderer", "Vec2FaceRenderer", "Vec2FaceTrainedRenderer"]
