"""What is wanted of a search for identities: how many, how far apart, and how long to look. Knows no vectors."""

from dataclasses import dataclass
from fractions import Fraction

from samplers.bounds import least_max_cosine, levenshtein_size
from samplers.errors import RecipeError
from samplers.prior import Prior

#: Searches for few people may look at this many candidates' worth of budget all the same.
_LEAST_PEOPLE = 1024


@dataclass(frozen=True)
class Wanted:
    """How many identities, how far apart, and how long to look for them."""

    count: int
    max_cosine: float
    candidates_per_identity: float = 50.0

    @property
    def anybody(self) -> bool:
        """Whether no cosine is too large: not even that of a vector with itself, which rounding may lift above 1."""
        return self.max_cosine >= 1

    @property
    def budget(self) -> int:
        """Candidates looked at, at most."""
        return int(self.candidates_per_identity * max(self.count, _LEAST_PEOPLE))


def quotas(prior: Prior, count: int) -> list[int]:
    """How many identities each group of the prior gets: its share, rounded so that all add up (largest remainder)."""
    shares = [Fraction(repr(group.share)) for group in prior.groups]  # as written: 0.1 is a tenth
    exact = [share / sum(shares) * count for share in shares]
    floors = [int(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda g: (floors[g] - exact[g], g))
    for g in by_remainder[: count - sum(floors)]:
        floors[g] += 1
    return floors


def refuse_impossible(wanted: Wanted, dimension: int) -> None:
    """Raises RecipeError where no arrangement at all keeps the limit."""
    bound, name = least_max_cosine(wanted.count, dimension)
    if wanted.max_cosine < bound - 1e-9:
        # The size of a perfect arrangement is a whole number, and rounding may leave it just below. Below a cosine of
        # zero, no more fit than a simplex has corners.
        most = max(1, int(levenshtein_size(dimension, wanted.max_cosine) * (1 + 1e-9)))
        if wanted.max_cosine < 0:
            most = min(most, dimension + 1)
        raise RecipeError(
            f"no {wanted.count} vectors in {dimension} dimensions keep all cosines at or below {wanted.max_cosine:g}: "
            f"by the {name} bound the largest is at least {bound:.4g}, and at most {most} can keep this limit; "
            "ask for fewer, or raise identities.separation.max_cosine"
        )
