"""AttrOP: a search, from a picture's feature, for a feature whose picture meets targets; each picture by itself.

Gradient steps on the feature (Adam); a picture that meets all its targets stops, and what is returned is the best
picture that was seen, not another one drawn afterwards. The published code stops by the means of a batch, without a
bound, and draws anew with another mask at the end (`gen_image` in HaiyuWu/Vec2Face); the targets and their weights are
its own. All pictures of a batch are computed until the last one stops, so that shapes, and with them rounding, never
depend on who has stopped. This module does not know how features become pictures.

Shapes: B pictures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # Adam's usual ones


@dataclass(frozen=True)
class Target:
    """Something wanted of every picture, measured by how far it is missed."""

    name: str
    miss: Callable[[Tensor], Tensor]  # pictures (B, 3, H, W) in [-1, 1] to float32 (B,), differentiable, 0: perfect
    tolerance: float  # met where the miss is at most this
    weight: float  # of the miss, in the loss


@dataclass(frozen=True)
class Found:
    """The best picture of each search."""

    pixels: Tensor  # float32 (B, 3, H, W), in [-1, 1]
    met: Tensor  # bool (B, T): which targets the picture meets
    steps: Tensor  # int64 (B,): pictures looked at after the first, until this search stopped


@torch.inference_mode(False)  # which also turns gradients on, where a caller has them off
def optimise(
    render: Callable[[Tensor], Tensor], feature: Tensor, targets: Sequence[Target], steps: int, rate: float
) -> Found:
    """Search from features (B, D) by at most `steps` steps of Adam; better is to meet more, then to miss less.

    `render` makes pictures float (B, 3, H, W) in [-1, 1] from features, differentiably, each from its own row. There is
    at least one target; a miss that is not a number is neither met nor better. A caller may be within `torch.no_grad`
    or `inference_mode`, as long as `render` and targets hold no tensors made in the latter: torch refuses these.
    """
    weights = torch.tensor([target.weight for target in targets], device=feature.device)
    tolerances = torch.tensor([target.tolerance for target in targets], device=feature.device)

    def look(place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The pictures at these features, their losses (B,), differentiable, and which targets they meet (B, T)."""
        pixels = render(place)
        misses = torch.stack([target.miss(pixels) for target in targets], 1)
        return pixels.detach(), (misses * weights).sum(1), misses <= tolerances

    place = feature.clone().detach().requires_grad_()
    momentum, energy = torch.zeros_like(place), torch.zeros_like(place)
    best_pixels, loss, best_met = look(place)
    best_loss = loss.detach()
    taken = torch.zeros(len(place), dtype=torch.int64, device=place.device)
    for step in range(1, steps + 1):
        running = ~best_met.all(1)
        if not bool(running.any()):
            break
        (gradient,) = torch.autograd.grad(loss.sum(), place)
        momentum = _BETAS[0] * momentum + (1 - _BETAS[0]) * gradient
        energy = _BETAS[1] * energy + (1 - _BETAS[1]) * gradient**2
        mean, scale = momentum / (1 - _BETAS[0] ** step), energy / (1 - _BETAS[1] ** step)
        place = (place.detach() - rate * mean / (scale.sqrt() + _EPSILON)).requires_grad_()
        pixels, loss, met = look(place)
        fuller, as_full = met.sum(1) > best_met.sum(1), met.sum(1) == best_met.sum(1)
        better = running & (fuller | (as_full & (loss < best_loss)))
        best_pixels = torch.where(better[:, None, None, None], pixels, best_pixels)
        best_met = torch.where(better[:, None], met, best_met)
        best_loss = torch.where(better, loss.detach(), best_loss)
        taken = taken + running
    return Found(best_pixels, best_met, taken)
