"""Attributes: what may differ between two pictures of one person, declared by name, unit and range, and drawn by law.

A renderer declares `Attribute`s; a recipe may give each a `Distribution`; `draw_attributes` draws them. Every attribute
of every picture has its own random number, so changing the law of one leaves all the others as they were. This module
does not know any renderer, and not what an attribute looks like.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from samplers import random
from samplers.errors import RecipeError


class _Law(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Constant(_Law):
    """Always the same value."""

    kind: Literal["constant"] = "constant"
    value: float | str

    def support(self) -> tuple[float, float]:
        """Smallest and largest value."""
        return (float(self.value), float(self.value)) if not isinstance(self.value, str) else (0.0, 0.0)


class Uniform(_Law):
    """Every value from low to high alike."""

    kind: Literal["uniform"] = "uniform"
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> "Uniform":
        if not self.low <= self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self

    def support(self) -> tuple[float, float]:
        """Smallest and largest value."""
        return self.low, self.high

    def quantile(self, u: Tensor) -> Tensor:
        """The value below which a share u (B,) of the law lies."""
        return self.low + u * (self.high - self.low)


class Normal(_Law):
    """A normal law cut off at low and high (the mass outside is spread over the inside, nothing piles up)."""

    kind: Literal["normal"] = "normal"
    mean: float = 0.0
    std: float = Field(gt=0)
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> "Normal":
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        # Farther out, nothing of the law is left inside that float64 could spread.
        if not self.low - 6 * self.std <= self.mean <= self.high + 6 * self.std:
            raise ValueError(f"mean {self.mean:g} is more than six std from [{self.low:g}, {self.high:g}]")
        return self

    def support(self) -> tuple[float, float]:
        """Smallest and largest value."""
        return self.low, self.high

    def quantile(self, u: Tensor) -> Tensor:
        """The value below which a share u (B,) of the law lies."""
        below, above = (0.5 * math.erfc((self.mean - x) / (self.std * math.sqrt(2))) for x in (self.low, self.high))
        value = self.mean + self.std * torch.special.ndtri(below + u * (above - below))
        return torch.clamp(value, self.low, self.high)


class Choice(_Law):
    """One of several names, by weights that need not add up to one."""

    kind: Literal["choice"] = "choice"
    weights: dict[str, Annotated[float, Field(ge=0)]]

    @model_validator(mode="after")
    def _some_weight(self) -> "Choice":
        if not sum(self.weights.values()) > 0:
            raise ValueError("all weights are zero")
        return self


class Sometimes(_Law):
    """With a chance, a value drawn from another law; else a fixed one."""

    kind: Literal["sometimes"] = "sometimes"
    chance: float = Field(ge=0, le=1)
    then: Annotated[Uniform | Normal, Field(discriminator="kind")]
    otherwise: float = 0.0

    def support(self) -> tuple[float, float]:
        """Smallest and largest value."""
        low, high = self.then.support()
        return min(low, self.otherwise), max(high, self.otherwise)

    def quantile(self, u: Tensor) -> Tensor:
        """The value for a uniform number u (B,); u below `chance` draws from `then`."""
        drawn = self.then.quantile((u / max(self.chance, 1e-12)).clamp(max=1 - 1e-12))
        return torch.where(u < self.chance, drawn, torch.full_like(u, self.otherwise))


Law = Constant | Uniform | Normal | Choice | Sometimes
Distribution = Annotated[Law, Field(discriminator="kind")]


@dataclass(frozen=True)
class Attribute:
    """One named way in which pictures differ.

    A number has a `unit` and lies in [low, high]; a choice has `choices` instead. `default` is the neutral value, the
    one in a passport photograph; `distribution` is drawn from where the recipe says nothing (None: always the
    default).
    """

    about: str
    default: float | str
    unit: str = ""
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()
    distribution: Law | None = None

    def law(self) -> Law:
        """The distribution drawn from when a recipe says nothing."""
        return self.distribution or Constant(value=self.default)


Laws = Mapping[str, Law]


def complete_laws(declared: Mapping[str, Attribute], chosen: Laws) -> dict[str, Law]:
    """A law for every declared attribute: the chosen one, checked against the declaration, or the renderer's own.

    Raises RecipeError for an attribute that the renderer does not declare, a law of the wrong kind, or values outside
    the attribute's range.
    """
    for name, law in chosen.items():
        if name not in declared:
            raise RecipeError(f"unknown attribute {name!r}; the renderer has {', '.join(declared) or 'none'}")
        _check_law(name, declared[name], law)
    return {name: chosen.get(name, attribute.law()) for name, attribute in declared.items()}


def _check_law(name: str, attribute: Attribute, law: Law) -> None:
    if attribute.choices:
        named = law.weights if isinstance(law, Choice) else {law.value: 1.0} if isinstance(law, Constant) else None
        if named is None:
            raise RecipeError(f"attribute {name!r} is a choice of {', '.join(attribute.choices)}; use kind: choice")
        for choice in named:
            if choice not in attribute.choices:
                raise RecipeError(f"attribute {name!r} has no choice {choice!r}; it has {', '.join(attribute.choices)}")
        return
    if isinstance(law, Choice) or (isinstance(law, Constant) and isinstance(law.value, str)):
        raise RecipeError(f"attribute {name!r} is a number ({attribute.unit}), not a choice")
    low, high = law.support()
    if low < attribute.low or high > attribute.high:
        raise RecipeError(
            f"attribute {name!r} lies in [{attribute.low:g}, {attribute.high:g}] {attribute.unit}, "
            f"but the recipe draws from [{low:g}, {high:g}]"
        )


def draw_attributes(seed: int, declared: Mapping[str, Attribute], laws: Laws, index: Tensor) -> dict[str, Tensor]:
    """One value per attribute and picture.

    `index` is int64 (B, 3): identity, view, attempt. Numbers come as float32 (B,), choices as int64 (B,), the
    position in `Attribute.choices`. `laws` must hold every declared name (`complete_laws`).
    """
    if not declared:
        return {}
    count = len(index)
    keys = torch.tensor([random.key_of(seed, f"attribute/{name}") for name in declared])
    u = random.uniforms(keys.repeat_interleave(count, 0), index.repeat(len(declared), 1), 1).view(len(declared), count)
    return {name: _draw(declared[name], laws[name], u[i]) for i, name in enumerate(declared)}


def _draw(attribute: Attribute, law: Law, u: Tensor) -> Tensor:
    if isinstance(law, Choice):
        weights = torch.tensor([law.weights.get(choice, 0.0) for choice in attribute.choices], dtype=torch.float64)
        edges = weights.cumsum(0) / weights.sum()
        last = int(weights.nonzero().max())
        return torch.searchsorted(edges, u, right=True).clamp(max=last)
    if isinstance(law, Constant):
        if attribute.choices:
            return torch.full(u.shape, attribute.choices.index(str(law.value)), dtype=torch.int64)
        return torch.full(u.shape, float(law.value), dtype=torch.float32)
    return law.quantile(u).float()


def neutral_attributes(declared: Mapping[str, Attribute], count: int) -> dict[str, Tensor]:
    """Every attribute at its default, for `count` pictures, in the form of `draw_attributes`."""
    index = torch.zeros(count, 3, dtype=torch.int64)
    return draw_attributes(0, declared, {name: Constant(value=a.default) for name, a in declared.items()}, index)
