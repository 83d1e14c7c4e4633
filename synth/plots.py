"""Plots: what a build stored of its identities, drawn: how cosines lie, how the search filled up, how packing went.

This module knows the certificate, the course and two columns of the people; it does not know how these came about, nor
any vector or picture. The same storage gives the same bytes, with the same matplotlib and its usual settings.
matplotlib is optional, and imported only when something is drawn.

Shapes: I identities, B bins of cosines, centred from -1 to 1, S steps of packing.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from samplers.errors import MissingPackageError
from synth.anchors import read_certificate, read_course, read_people
from synth.storage import Storage

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COSINES = "plots/cosines.png"
SATURATION = "plots/saturation.png"
PACKING = "plots/packing.png"
#: Columns of the people that plots need.
COLUMNS = ["nearest_cosine", "candidate"]

_INCHES, _DPI = (6.4, 4.0), 150
_POINTS = 2000  # of a curve: more than it has pixels
_MARGIN = 0.03  # of an axis, left free on either side
_SMALL, _NORMAL = 7.5, 9.0  # sizes of type
# Okabe and Ito's colours, which the colour-blind can tell apart.
_BLUE, _ORANGE, _GREEN, _RED, _PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
_INK, _GREY, _FAINT = "#222222", "#808080", "#E6E6E6"


@dataclass(frozen=True)
class _Level:
    """A cosine with a name, shown as a straight line across a plot."""

    cosine: float
    name: str
    color: str
    style: str
    width: float = 1.3

    @property
    def look(self) -> dict[str, Any]:
        """What matplotlib needs to know; the legend tells the number too, with a minus as on the axes."""
        number = f"{round(self.cosine, 4) + 0.0:g}".replace("-", "−")
        return {"c": self.color, "ls": self.style, "lw": self.width, "label": f"{self.name}, {number}"}


@dataclass(frozen=True)
class _Share:
    """What share of some pairs lies in each bin."""

    of: np.ndarray  # float64 (B,)
    label: str
    color: str
    opacity: float  # of what lies under its outline


def require_matplotlib() -> None:
    """Raises MissingPackageError where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise MissingPackageError("plots need matplotlib: pip install 'hypersynth[plots]'")


def write_plots(storage: Storage) -> list[str]:
    """Draw the identities that are stored, and store the pictures; returns their names.

    Raises MissingPackageError where matplotlib is not installed, StorageError and DatasetError as `read_anchors` does.
    """
    drawn = figures(read_certificate(storage), read_people(storage, COLUMNS), read_course(storage))
    for name, data in drawn.items():
        storage.replace(name, data)
    return list(drawn)


def figures(certificate: dict[str, Any], people: pa.Table, course: dict[str, Any]) -> dict[str, bytes]:
    """The pictures by name, as PNG. `people` has COLUMNS."""
    nearest, candidate = (people[name].to_numpy() for name in COLUMNS)
    shares = _shares(np.array(certificate["histogram"]), nearest, np.array(course["prior_histogram"]))
    drawn = {COSINES: _cosines(certificate, shares), SATURATION: _saturation(np.sort(candidate))}
    if course["packing"] is not None and course["packing"]["history"]:
        drawn[PACKING] = _packing(certificate, np.array(course["packing"]["history"]))
    return drawn


def _shares(pairs: np.ndarray, nearest: np.ndarray, prior: np.ndarray) -> list[_Share]:
    """Of the prior's own pairs (B,), of all pairs (B,) and of nearest neighbours (I,), as far as there are any."""
    bins = len(pairs)
    place = np.clip((nearest + 1) / 2 * (bins - 1) + 0.5, 0, bins - 1).astype(int)
    to_nearest = np.bincount(place, minlength=bins) * pairs.any()
    shares = [
        _Share(_normalised(prior), "pairs drawn from the prior", _GREY, 0.1),
        _Share(_normalised(pairs), "all pairs of identities", _BLUE, 0.15),
        _Share(_normalised(to_nearest), "each identity and its nearest", _ORANGE, 0.0),
    ]
    return [share for share in shares if share.of.any()]


def _normalised(counts: np.ndarray) -> np.ndarray:
    share: np.ndarray = counts / max(counts.sum(), 1)
    return share


def _limits(certificate: dict[str, Any]) -> list[_Level]:
    """The limit asked for and the largest cosine found, where they say something."""
    limit, largest = certificate["limit"], certificate["max_cosine"]
    levels = [_Level(limit, "limit asked for", _INK, "-", width=2.0)] if limit < 1 else []
    return levels + ([] if largest is None else [_Level(largest, "largest found", _RED, "--")])


def _bounds(certificate: dict[str, Any]) -> list[_Level]:
    """The bounds that no arrangement comes below, where they say something."""
    welch, levenshtein = certificate["welch_bound"], certificate["levenshtein_bound"]
    levels = [_Level(welch, "Welch bound on |cosine|", _PURPLE, ":", width=2.0)] if welch > 0 else []
    return levels + ([_Level(levenshtein, "Levenshtein bound", _GREEN, "-.")] if levenshtein > -1 else [])


def _cosines(certificate: dict[str, Any], shares: Sequence[_Share]) -> bytes:
    """How cosines lie, between what was asked for and what is possible."""
    bins = len(certificate["histogram"])
    edges = (np.arange(bins + 1) - 0.5) / (bins - 1) * 2 - 1
    seen = np.array([share.of for share in shares]).reshape(-1, bins)
    floor = seen.min(where=seen > 0, initial=1.0) / 2
    axes = _axes(_whom(certificate), "cosine similarity", "share of pairs (bins of 0.01)")
    outlines: list[Artist] = []
    for share in shares:
        look: dict[str, Any] = {"edgecolor": share.color, "facecolor": (share.color, share.opacity), "linewidth": 1.3}
        height = np.maximum(share.of, floor)
        outlines.append(axes.stairs(height, edges, baseline=floor, fill=True, label=share.label, **look))
    levels = [_limits(certificate), _bounds(certificate)]
    lines = [[axes.axvline(level.cosine, **level.look) for level in column] for column in levels]
    filled = np.flatnonzero(seen.any(0))
    named = [level.cosine for column in levels for level in column]
    axes.set_xlim(*_range([*edges[filled], *edges[filled + 1], *named]))
    axes.set_yscale("log")
    axes.set_ylim(floor, min(3 * seen.max(initial=floor), 1.5))
    return _png(axes, [outlines, *lines])


def _saturation(candidate: np.ndarray) -> bytes:
    """How many identities came of how many candidates, from their sorted numbers (I,)."""
    drawn = np.concatenate(([0], candidate + 1))
    count, total = len(candidate), int(drawn[-1])
    before = count - max(1, count // 10)
    accepted = (count - before) / (total - drawn[before])
    axes = _axes(
        f"{_many(count, 'identity', 'identities')} of {_many(total, 'candidate', 'candidates')}",
        "candidates drawn",
        "identities kept",
    )
    (all_kept,) = axes.plot([0, count], [0, count], c=_GREY, ls="--", lw=1.1, label="every candidate kept")
    early, late = _thinned(0, before), _thinned(before, count)
    (curve,) = axes.plot(drawn[early], early, c=_BLUE, lw=1.8, label="identities kept")
    (end,) = axes.plot(drawn[late], late, c=_ORANGE, lw=1.8, label=f"the last tenth, {accepted:.1%} accepted")
    axes.set_xlim(*_range([0, total]))
    axes.set_ylim(*_range([0, count]))
    axes.locator_params(integer=True, nbins=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.0f}")
    return _png(axes, [[curve], [end], [all_kept]])


def _packing(certificate: dict[str, Any], history: np.ndarray) -> bytes:
    """The largest cosine before each step (S,), between where it began and what is possible."""
    steps = _thinned(0, len(history) - 1)
    axes = _axes(
        f"{_whom(certificate)}, packed in {_many(len(history), 'step', 'steps')}",
        "step of packing",
        "largest cosine similarity",
    )
    start = _Level(history[0], "random start", _GREY, "--")
    levels = [[start, *_limits(certificate)], _bounds(certificate)]
    lines = [[axes.axhline(level.cosine, **level.look) for level in column] for column in levels]
    (curve,) = axes.plot(steps, history[steps], c=_BLUE, lw=1.6, label="largest cosine")
    axes.set_xlim(*_range([0, len(history)]))
    axes.set_ylim(*_range([*history, *(level.cosine for column in levels for level in column)]))
    axes.locator_params("x", integer=True)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return _png(axes, [[curve, *lines[0][:1]], lines[0][1:], lines[1]])


def _whom(certificate: dict[str, Any]) -> str:
    dimensions = _many(certificate["dimension"], "dimension", "dimensions")
    return f"{_many(certificate['count'], 'identity', 'identities')} in {dimensions}"


def _many(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"


def _thinned(first: int, last: int) -> np.ndarray:
    """Whole numbers from first to last, evenly chosen where there are too many for a curve."""
    return np.unique(np.linspace(first, last, min(last - first + 1, _POINTS)).round().astype(int))


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From the least to the greatest, and a margin."""
    low, high = min(values, default=-1.0), max(values, default=1.0)
    margin = _MARGIN * ((high - low) or 1.0)
    return float(low - margin), float(high + margin)


def _axes(title: str, x: str, y: str) -> "Axes":
    """An empty plot on a picture of its own."""
    axes = blank_figure(_INCHES).add_subplot()
    dress(axes, title, x, y)
    return axes


def blank_figure(inches: tuple[float, float]) -> "Figure":
    """A picture without plots. Raises MissingPackageError where matplotlib is not installed."""
    require_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(inches, _DPI, facecolor="white", layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06))


def dress(axes: "Axes", title: str, x: str, y: str) -> None:
    """Give a plot its words and the look that all have."""
    axes.set_title(title, loc="left", fontsize=_NORMAL, color=_INK)
    axes.set_xlabel(x, fontsize=_NORMAL, color=_INK)
    axes.set_ylabel(y, fontsize=_NORMAL, color=_INK)
    axes.tick_params(labelsize=_SMALL, color=_GREY, labelcolor=_INK)
    axes.grid(color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)


def _png(axes: "Axes", legend: Sequence[Sequence["Artist"]]) -> bytes:
    """The picture, with a legend of these columns under it."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    longest = max(map(len, legend))
    (blank,) = axes.plot([], [], " ", label=" ")
    handles = [artist for column in legend for artist in [*column, *[blank] * (longest - len(column))]]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(legend), fontsize=_SMALL, frameon=False)
    return png_of(figure)


def png_of(figure: "Figure") -> bytes:
    """A picture as PNG, which names no program and no date."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
