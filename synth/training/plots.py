"""Plots of a training: every loss in its journal, drawn over the steps.

This module does not know what the losses mean. The same lines give the same bytes, with the same matplotlib.

Shapes: S lines of the journal.
"""

from collections.abc import Sequence

import numpy as np

from synth.plots import blank_figure, dress, png_of

LOSS_CURVES = "losses.png"

_COLUMNS = 3
_INCHES = (3.4, 2.5)  # of one plot
_SMOOTH = 0.02  # share of the lines over which the strong line is a mean
_FAINT, _STRONG = "#9ECAE1", "#0072B2"
_WIDE = 20.0  # a ratio of largest to least from which the axis is logarithmic


def loss_curves(lines: Sequence[dict[str, float]]) -> bytes:
    """A plot for every loss in the lines of a journal, as PNG.

    Raises MissingPackageError where matplotlib is not installed.
    """
    names = [name for name in lines[-1] if name != "step"] if lines else []
    columns, rows = max(1, min(len(names), _COLUMNS)), max(1, -(-len(names) // _COLUMNS))
    figure = blank_figure((_INCHES[0] * columns, _INCHES[1] * rows))
    for number, name in enumerate(names, 1):
        axes = figure.add_subplot(rows, columns, number)
        dress(axes, name, "step" if number > len(names) - columns else "", "")
        known = [line for line in lines if name in line]  # some losses begin late
        steps, values = (np.array([line[which] for line in known]) for which in ("step", name))
        axes.plot(steps, values, c=_FAINT, lw=0.8)
        axes.plot(steps, _smooth(values), c=_STRONG, lw=1.6)
        if values.min() > 0 and values.max() > _WIDE * values.min():
            axes.set_yscale("log")
    return png_of(figure)


def _smooth(values: np.ndarray) -> np.ndarray:
    """The mean of each value and those around it, fewer at both ends: float64 (S,)."""
    reach = round(len(values) * _SMOOTH / 2)
    sums = np.concatenate(([0.0], np.cumsum(values)))
    places = np.arange(len(values))
    low, high = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
    smooth: np.ndarray = (sums[high] - sums[low]) / (high - low)
    return smooth
