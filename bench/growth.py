"""How cost grows: certificate and separation from 5,000 to 200,000 identities, with the fitted exponent and a plot."""

from pathlib import Path

import numpy as np

from bench.measure import Measurement, seconds
from bench.vectors import DIMENSION, apart, directions, pca_prior
from cluster.hands import local_hands
from samplers.pairs import TILE, compare_all
from samplers.separation import separate
from samplers.wanted import Wanted

_COUNTS = (5_000, 10_000, 20_000, 50_000, 100_000, 200_000)
_LIMIT = 0.4
PLOT = Path(__file__).parent / "results" / "growth.png"


def _run() -> dict[str, list[float]]:
    hands, prior, vectors = local_hands(), pca_prior(150.0), directions(max(_COUNTS))
    compare_all(vectors[: 2 * TILE], hands, histogram=True)
    separate(prior, 1, DIMENSION, Wanted(2 * TILE, _LIMIT), hands)

    def certificate(count: int) -> float:
        return seconds(lambda: compare_all(vectors[:count], hands, histogram=True))

    def separation(count: int) -> float:
        return seconds(lambda: separate(prior, 1, DIMENSION, Wanted(count, _LIMIT), hands))

    return {"certificate": list(map(certificate, _COUNTS)), "separation": list(map(separation, _COUNTS))}


def _exponent(times: list[float]) -> float:
    return float(np.polyfit(np.log(_COUNTS), np.log(times), 1)[0])


def _plot(found: dict[str, list[float]]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for (name, times), colour in zip(found.items(), ("#0072b2", "#d55e00"), strict=True):
        label = f"{name}, time ~ count^{_exponent(times):.2f}"
        axes.loglog(_COUNTS, times, "o-", color=colour, label=label)
    axes.set_xlabel("identities")
    axes.set_ylabel("seconds, 2 cores")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    FigureCanvasAgg(figure)
    figure.savefig(PLOT, metadata={"Software": None})


def measure() -> list[Measurement]:
    """Exponents of the time against the number of identities, from all counts together."""
    found = apart(_run)
    _plot(found)
    return [
        Measurement(
            f"growth of the {name}'s time, {_COUNTS[0]} to {_COUNTS[-1]} identities",
            _exponent(times),
            "exponent",
            note=f"{times[-1]:.0f} s at {_COUNTS[-1]}",
            detail={str(count): each for count, each in zip(_COUNTS, times, strict=True)},
        )
        for name, times in found.items()
    ]
