"""Separation: 100,000 identities from a PCA-Gaussian, against the certificate of the result."""

from dataclasses import dataclass

from bench.measure import Measurement, seconds
from bench.vectors import DIMENSION, Memory, apart, pca_prior
from cluster.hands import local_hands
from samplers.pairs import compare_all
from samplers.separation import Separated, separate
from samplers.wanted import Wanted

_COUNT = 100_000
_RATIO = 150.0
_LIMIT = 0.4


@dataclass(frozen=True)
class _Run:
    separation: float  # seconds
    certificate: float
    drawn: int
    largest: float
    memory_gb: float


def _run(count: int) -> _Run:
    prior, hands = pca_prior(_RATIO), local_hands()
    compare_all(separate(prior, 1, DIMENSION, Wanted(2048, _LIMIT), hands).people.vectors, hands, histogram=True)
    memory = Memory()
    found: list[Separated] = []
    separation = seconds(lambda: found.append(separate(prior, 1, DIMENSION, Wanted(count, _LIMIT), hands)))
    peak = memory.peak_gb()
    vectors, largest = found[0].people.vectors, []
    certificate = seconds(lambda: largest.append(float(compare_all(vectors, hands, histogram=True).cosine.max())))
    return _Run(separation, certificate, found[0].drawn, largest[0], peak)


def measure() -> list[Measurement]:
    """Seconds of the search, drawing included, over those of the certificate."""
    run: _Run = apart(_run, _COUNT)
    return [
        Measurement(
            f"separation over certificate, {_COUNT} from a PCA-Gaussian, limit {_LIMIT:g}",
            run.separation / run.certificate,
            "x",
            2.0,
            True,
            note=f"{run.drawn} candidates, largest cosine {run.largest:.4f}",
            detail={
                "separation_seconds": run.separation,
                "certificate_seconds": run.certificate,
                "candidates": run.drawn,
                "participation_ratio": _RATIO,
                "memory_gb": run.memory_gb,
            },
        )
    ]
