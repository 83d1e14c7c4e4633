"""Vec2Face and Vec2Face+ with their official weights. Everything else in this package is its own business."""

from synth.renderers.vec2face.renderer import Vec2FacePlusRenderer, Vec2FaceRenderer

__all__ = ["Vec2FacePlusRenderer", "Vec2FaceRenderer"]
