"""The built-in renderer of procedural heads. Everything else in this package is its own business."""

from synth.renderers.head.renderer import HeadRenderer

__all__ = ["HeadRenderer"]
