"""Going downhill: one optimiser over some parameters, with its schedule; and slow averages of networks.

With several processes (torchrun), gradients are averaged over all of them before each step, so that every process
keeps the same weights. This module does not know what is learned.
"""

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from synth.training.settings import RateSettings, TrainingSection


@dataclass(frozen=True)
class Moment:
    """Where a training is."""

    step: int
    steps: int
    horizon: int  # steps over which all that changes with time is spread
    generator: torch.Generator  # made anew for each step from seed, step and rank: nothing random is carried over

    @property
    def share(self) -> float:
        """The share of the horizon that is done, from 0 to below 1."""
        return self.step / self.horizon


def mixed_precision(settings: TrainingSection) -> torch.autocast:
    """In which products of matrices have the settings' dtype, while weights stay float32."""
    dtype = getattr(torch, settings.dtype)
    return torch.autocast(torch.device(settings.device).type, dtype, enabled=dtype != torch.float32)


def rate_share(settings: RateSettings, share: float) -> float:
    """The learning rate as a share of the peak, when a share of the training is done."""
    if share < settings.warm_up:
        return (share / settings.warm_up) * 0.98 + 0.02
    along = (share - settings.warm_up) / (1 - settings.warm_up)
    return settings.last + (1 - settings.last) * (1 + math.cos(math.pi * along)) / 2


def rate_at(settings: TrainingSection, moment: Moment) -> float:
    """The learning rate at a step: that of its share of the horizon, and less in the last steps, the cool-down."""
    usual = rate_share(settings.rate, moment.share)
    if (left := moment.steps - moment.step) <= settings.cool_down:
        usual = min(usual, settings.rate.last + (usual - settings.rate.last) * left / settings.cool_down)
    return settings.rate.peak * usual


class Descent:
    """AdamW over some parameters, with clipping."""

    def __init__(
        self, networks: Iterable[nn.Module], settings: TrainingSection, faster: Iterable[nn.Module] = (), by: float = 1
    ) -> None:
        """`faster` are parts that learn `by` times as fast as the others."""
        self._settings = settings
        slow = [p for network in networks for p in network.parameters() if p.requires_grad]
        quick = [p for network in faster for p in network.parameters() if p.requires_grad]
        groups = [
            # Biases, normalisations and slopes are not decayed, as usual.
            {"params": [p for p in slow if p.ndim > 1], "factor": 1.0, "weight_decay": settings.weight_decay},
            {"params": [p for p in slow if p.ndim <= 1], "factor": 1.0, "weight_decay": 0.0},
            {"params": quick, "factor": by, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=settings.rate.peak, betas=(0.9, 0.98), foreach=True
        )

    def step(self, loss: Tensor, moment: Moment) -> Tensor:
        """One step down `loss`; returns the length of the gradient before clipping."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimiser.param_groups for p in group["params"] if p.grad is not None]
        average_gradients(parameters)
        length: Tensor = nn.utils.clip_grad_norm_(parameters, self._settings.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = group["factor"] * rate_at(self._settings, moment)
        self.optimiser.step()
        return length


def average_gradients(parameters: list[Tensor]) -> None:
    """Replace each gradient by its mean over all processes; nothing to do where there is one."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([each.flatten() for each in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for each, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        each.copy_(mean.view_as(each))


class Average:
    """A slow average of a network, which draws better pictures than its last state."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        """`decay` of the old average is kept at each step; less of it in the first steps."""
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self._decay = decay

    def update(self, network: nn.Module, moment: Moment) -> None:
        """Follow the network by one step."""
        decay = min(self._decay, (1 + moment.step) / (10 + moment.step))
        with torch.no_grad():
            new = network.state_dict()
            for name, old in self.network.state_dict().items():
                if old.is_floating_point():
                    old.lerp_(new[name].to(old.dtype), 1 - decay)
                else:
                    old.copy_(new[name])


def state(part: Any) -> dict[str, Any]:
    """What a checkpoint keeps of a network, an average or a descent."""
    held = part.optimiser if isinstance(part, Descent) else part.network if isinstance(part, Average) else part
    kept: dict[str, Any] = held.state_dict()
    return kept


def restore(part: Any, kept: dict[str, Any]) -> None:
    """Put back what `state` gave."""
    held = part.optimiser if isinstance(part, Descent) else part.network if isinstance(part, Average) else part
    held.load_state_dict(kept)
