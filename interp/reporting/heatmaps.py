"""Grids of numbers as shades: effects by layer and position, by layer and head.

Brightness rises evenly with the number, so the figure reads the same in grey; small grids carry the numbers too. Where
numbers have both signs the scale is symmetrical, so that no effect is the middle shade.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from interp.refusals import Refused
from interp.reporting.drawing import WIDTH, Drawing, Figure
from interp.reporting.place_names import name_places
from interp.reporting.wording import number, readable

SHADES = "cividis"
MOST_CELLS_WITH_NUMBERS = 120
MOST_COLUMNS_WITH_NUMBERS = 12
MOST_TICKS = 24
READ_OUT = 3


def heatmap(values: xr.DataArray, *, measure: str, caption: str) -> Figure:
    """A figure of `values`, an array of two dimensions with labels: the first down, the second across.

    `measure` names what the numbers are, with their unit. Cells without a number (NaN) stay blank. Refuses another
    number of dimensions, an array without any number, and infinities.
    """
    if values.ndim != 2 or not values.size:
        raise Refused(
            f"A heatmap shows two dimensions; given {dict(values.sizes)}. Select, average or unstack first."
        )
    cells = values.values.astype(np.float64)
    if np.isinf(cells).any() or np.isnan(cells).all():
        raise Refused(
            f"{int(np.isinf(cells).sum())} cells are infinite, {int(np.isnan(cells).sum())} are no numbers."
        )
    low, high = _limits(cells)
    rows, columns = (_labels(values, str(dim)) for dim in values.dims)
    height = min(8.0, max(2.2, 0.9 + 0.62 * WIDTH * len(rows) / max(len(columns), 8)))
    with Drawing(height=height) as drawing:
        axes = drawing.axes
        axes.grid(visible=False)
        image = axes.imshow(cells, cmap=SHADES, vmin=low, vmax=high, aspect="auto", interpolation="none")
        axes.figure.colorbar(image, ax=axes, label=measure, pad=0.02)
        _name(axes, values, rows=rows, columns=columns)
        if cells.size <= MOST_CELLS_WITH_NUMBERS and len(columns) <= MOST_COLUMNS_WITH_NUMBERS:
            _write_numbers(axes, cells, low=low, high=high)
    return drawing.figure(
        alt=_alt(cells, values, measure=measure, rows=rows, columns=columns), caption=caption
    )


def _limits(cells: np.ndarray) -> tuple[float, float]:
    low, high = float(np.nanmin(cells)), float(np.nanmax(cells))
    if low < 0 < high:
        largest = max(-low, high)
        return -largest, largest
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _labels(values: xr.DataArray, dim: str) -> list[str]:
    """What is written beside the rows or below the columns."""
    length = values.sizes[dim]
    given = values[dim].values if dim in values.coords else range(length)
    return [str(label) for label in given]


def _name(axes: Axes, values: xr.DataArray, *, rows: Sequence[str], columns: Sequence[str]) -> None:
    step_down, step_across = -(-len(rows) // MOST_TICKS), -(-len(columns) // MOST_TICKS)
    axes.set_yticks(range(0, len(rows), step_down), labels=rows[::step_down])
    axes.set_ylabel(readable(str(values.dims[0])))
    axes.set_xlabel(readable(str(values.dims[1])))
    name_places(axes, range(0, len(columns), step_across), columns[::step_across])


def _write_numbers(axes: Axes, cells: np.ndarray, *, low: float, high: float) -> None:
    for (row, column), value in np.ndenumerate(cells):
        if not np.isnan(value):
            dark = (value - low) / (high - low) < 0.55
            axes.text(
                column,
                row,
                number(float(value)),
                ha="center",
                va="center",
                size=7,
                color="white" if dark else "black",
            )


def _alt(
    cells: np.ndarray, values: xr.DataArray, *, measure: str, rows: Sequence[str], columns: Sequence[str]
) -> str:
    down, across = (readable(str(dim)) for dim in values.dims)

    def said(place: int) -> str:
        row, column = divmod(place, cells.shape[1])
        return f"{down} {rows[row]}, {across} {columns[column]}: {number(float(cells[row, column]))}"

    order = [int(place) for place in np.argsort(cells, axis=None) if not np.isnan(cells.flat[place])]
    return (
        f"Heatmap of {measure}, {len(rows)} {down} by {len(columns)} {across}; mean "
        f"{number(float(np.nanmean(cells)))}. Largest: {'; '.join(map(said, order[::-1][:READ_OUT]))}. "
        f"Smallest: {'; '.join(map(said, order[:READ_OUT]))}."
    )
