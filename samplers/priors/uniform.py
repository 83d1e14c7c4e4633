"""The uniform prior. This module does not know other laws."""

from typing import Literal

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from samplers import random
from samplers.prior import Candidates
from samplers.priors.plain import Plain, candidate_index, of_directions
from samplers.sphere import normalise


class UniformPrior(Plain, BaseModel):
    """Every direction alike: a normalised standard normal vector."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: Literal["uniform"] = "uniform"

    def draw(self, seed: int, candidate: Tensor, dimension: int, *, purpose: str = "candidate") -> Candidates:
        """The candidates (n,) (see `Prior.draw`)."""
        return of_directions(
            normalise(random.normals(random.key_of(seed, purpose), candidate_index(candidate), dimension))
        )
