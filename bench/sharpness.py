"""Sharpness: how much of a picture is fine detail.

This module does not know what is in the pictures.

Shapes: B pictures of H x H pixels.
"""

import torch
from torch import Tensor

_LUMINANCE = (0.299, 0.587, 0.114)
_NYQUIST = 0.5  # cycles in a pixel


def fine_energy(images: Tensor, above: float = 0.25, below: float = 2.0) -> Tensor:
    """The energy of detail between two shares of the Nyquist frequency, of pictures uint8 (B, H, H, 3): float64 (B,).

    The sum of squares of the luminance's Fourier coefficients at radial frequencies from `above` to `below` x 0.5
    cycles a pixel, after the mean is taken away and a Hann window is laid over, so that the picture's edges do not
    count as detail. In grey levels squared, a pixel: the variance that such detail gives the windowed picture.
    """
    side = images.shape[1]
    grey = (images.double() * torch.tensor(_LUMINANCE, dtype=torch.float64)).sum(-1)
    grey = grey - grey.mean((1, 2), keepdim=True)
    hann = torch.hann_window(side, periodic=False, dtype=torch.float64)
    power = torch.fft.fft2(grey * (hann[:, None] * hann)).abs() ** 2 / side**4
    frequency = torch.fft.fftfreq(side, dtype=torch.float64)
    radius = (frequency[:, None] ** 2 + frequency**2).sqrt()
    band = (radius > above * _NYQUIST) & (radius <= below * _NYQUIST)
    energy: Tensor = (power * band).sum((1, 2))
    return energy
