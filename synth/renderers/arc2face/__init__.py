"""The renderer `arc2face`: a latent diffusion model that draws the person of an ArcFace embedding."""

from synth.renderers.arc2face.renderer import Arc2FaceRenderer

__all__ = ["Arc2FaceRenderer"]
