"""The renderer `diffusion`: pixel diffusion from embeddings and attributes, with weights that Hypersynth trained."""

from synth.renderers.diffusion.renderer import DiffusionRenderer

__all__ = ["DiffusionRenderer"]
