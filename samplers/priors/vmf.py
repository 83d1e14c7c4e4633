"""The von Mises-Fisher prior and mixtures of it, without rejection: the law of the angle is inverted by a table.

Shapes: n candidates, D dimensions, K components, T points of a table. This module does not know where means come from.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from samplers import random
from samplers.prior import Candidates
from samplers.priors.plain import Plain, candidate_index, of_directions
from samplers.sphere import inner, normalise

_TABLE_POINTS = 2**14
_FARTHEST = 40.0  # a von Mises-Fisher angle whose density is e^40 below the greatest is never drawn


@dataclass(frozen=True)
class VonMisesFisher(Plain):
    """Directions gathered about K means, with density proportional to exp(concentration cos theta) about each.

    (Fisher, "Dispersion on a sphere", 1953; von Mises on the circle.) A concentration of 0 is uniform. Without `means`
    (float32 (K, D), any length), `components` means are drawn uniformly. `weights` need not add up to one; None:
    equal. Raises ValueError for settings without sense.
    """

    concentration: float
    means: Tensor | None = None
    components: int = 1
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.concentration < math.inf:
            raise ValueError(f"a concentration is a number from 0 on, not {self.concentration:g}")
        if self._count < 1:
            raise ValueError("a von Mises-Fisher prior needs at least one mean")
        if self.weights is not None and len(self.weights) != self._count:
            raise ValueError(f"there are {len(self.weights)} weights for {self._count} means")
        if self.weights is not None and not (min(self.weights) >= 0 and 0 < sum(self.weights) < math.inf):
            raise ValueError("weights are numbers from 0 on, not all of them zero")
        if self.means is not None:
            largest = self.means.abs().amax(1)
            if not bool((largest.isfinite() & (largest >= 1e-12)).all()):
                raise ValueError("a mean is zero, or holds NaN or infinity")

    @property
    def _count(self) -> int:
        return self.components if self.means is None else len(self.means)

    @property
    def dimension(self) -> int | None:
        """That of the means; any if they are drawn."""
        return None if self.means is None else self.means.shape[1]

    def draw(self, seed: int, candidate: Tensor, dimension: int, *, purpose: str = "candidate") -> Candidates:
        """The candidates (n,) (see `Prior.draw`); at least two dimensions."""
        assert dimension >= 2
        assert self.dimension in (None, dimension)
        index = candidate_index(candidate)
        chosen = self._component(random.uniforms(random.key_of(seed, f"{purpose}/component"), index, 1)[:, 0])
        if self.means is None:
            mean = normalise(random.normals(random.key_of(seed, f"{purpose}/mean"), candidate_index(chosen), dimension))
        else:
            mean = normalise(self.means[chosen])  # (n, D)
        fall = cosine_fall(
            self.concentration, dimension, random.uniforms(random.key_of(seed, f"{purpose}/angle"), index, 1)[:, 0]
        )[:, None]
        noise = random.normals(random.key_of(seed, f"{purpose}/direction"), index, dimension).double()
        tangent = normalise(noise - inner(noise, mean)[:, None] * mean)
        return of_directions(normalise((1 - fall) * mean + (fall * (2 - fall)).sqrt() * tangent))

    def _component(self, u: Tensor) -> Tensor:
        """The component at uniform numbers u (n,): int64 (n,)."""
        weights = self.weights or (1.0,) * self._count
        edges = torch.tensor(list(accumulate(weights)), dtype=torch.float64)
        last = max(place for place, weight in enumerate(weights) if weight)
        return torch.searchsorted(edges / edges[-1], u, right=True).clamp(max=last)


def cosine_fall(concentration: float, dimension: int, u: Tensor) -> Tensor:
    """1 - cos theta below which a share u (n,) of the von Mises-Fisher law lies: float64 (n,), by interpolation.

    One minus the cosine, and not the angle: with it everything after the table is sums, products and square roots,
    which no batch or processor rounds differently, and small angles keep their digits.
    """
    share, fall = _fall_table(concentration, dimension)
    after = torch.searchsorted(share, u, right=True)
    within = (u - share[after - 1]) / (share[after] - share[after - 1])
    return fall[after - 1] + within * (fall[after] - fall[after - 1])


@lru_cache(maxsize=16)
def _fall_table(concentration: float, dimension: int) -> tuple[Tensor, Tensor]:
    """Shares of the von Mises-Fisher law, rising from 0 to 1, and 1 - cos theta below which they lie: float64 (T,).

    The angle's density is exp(c cos theta) sin^(D-2) theta, with its only summit where c sin^2 = (D-2) cos; the table
    covers evenly what lies less than e^40 below it, which is all but a share of about 10^-17.
    """
    power = dimension - 2
    cosine = 2 * concentration / (power + math.hypot(power, 2 * concentration)) if concentration else 0.0
    squared = power * cosine / concentration if concentration else float(power > 0)  # the sine's, at the summit
    summit = math.atan2(math.sqrt(squared), cosine) if power else 0.0

    def below_summit(theta: float) -> float:  # logarithm of the density over that of the summit
        fallen = -2 * concentration * math.sin((theta + summit) / 2) * math.sin((theta - summit) / 2)
        return fallen + (power * math.log(math.sin(theta) / math.sin(summit)) if power else 0.0)

    def edge(away: float) -> float:
        near = summit
        for _ in range(60):
            middle = (near + away) / 2
            near, away = (middle, away) if below_summit(middle) > -_FARTHEST else (near, middle)
        return away

    theta = np.linspace(edge(0.0) if power else 0.0, edge(math.pi), _TABLE_POINTS)
    density = np.exp([below_summit(angle) for angle in theta])
    share = np.concatenate(([0.0], np.cumsum(density[1:] + density[:-1])))
    return torch.from_numpy(share / share[-1]), torch.from_numpy(2 * np.sin(theta / 2) ** 2)
