"""What a figure shows, in sentences worked out from its numbers: the highest, the lowest, and what lies above what.

They compare means and say nothing of luck; verdicts do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from interp.reporting.wording import number, plural

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    import interp


def extremes(spots: Sequence[interp.Spot], *, decimals: int = 2) -> str:
    """`Highest: drift (1.00); lowest: random (0.45).`; what reads alike when rounded is named together."""
    return _extremes({spot.place: float(spot.estimate) for spot in spots}, decimals=decimals)


def of_series(spots: Sequence[interp.Spot], *, decimals: int = 2) -> str:
    """The same of every series, named before it."""
    series = dict.fromkeys(spot.series for spot in spots)
    return " ".join(
        f"{name[0].upper()}{name[1:]}, {said[0].lower()}{said[1:]}"
        for name in series
        for said in [extremes([spot for spot in spots if spot.series == name], decimals=decimals)]
    )


def above(spots: Sequence[interp.Spot], one: str, others: Sequence[str]) -> str:
    """At how many places the mean of a series lies above those of all others; only places that all of them have."""
    means = {(spot.series, spot.place): float(spot.estimate) for spot in spots}
    places = [
        place
        for place in dict.fromkeys(spot.place for spot in spots)
        if all((series, place) in means for series in (one, *others))
    ]
    larger = sum(all(means[one, place] > means[other, place] for other in others) for place in places)
    return f"The mean of {one} is above {' and '.join(others)} at {larger} of {plural(len(places), 'place')}."


def beyond(spots: Sequence[interp.Spot], line: float, *, called: str) -> str:
    """Of how many dots the whole interval lies above a line, and of how many below it."""
    over, under = (
        sum(spot.interval[0] > line for spot in spots),
        sum(spot.interval[1] < line for spot in spots),
    )
    return f"The whole interval lies above {called} ({number(line)}) for {over} of {len(spots)}, below it for {under}."


def cells(values: xr.DataArray, *, decimals: int = 2) -> str:
    """The highest and the lowest of a table of two dimensions, by their labels."""
    down, across = values.dims
    named = {
        f"{row[down].item()}, {str(across).replace('_', ' ')} {cell[across].item()}": float(cell)
        for row in values
        for cell in row
        if not np.isnan(float(cell))
    }
    return _extremes(named, decimals=decimals)


def best_of_columns(values: xr.DataArray, *, decimals: int = 2) -> str:
    """For each column of a table the label of the row that is highest in it."""
    down, across = values.dims
    said = []
    for column in values.transpose(across, down):
        shown = {str(cell[down].item()): float(cell) for cell in column if not np.isnan(float(cell))}
        if shown:
            said.append(f"{column[across].item()}: {_named(shown, max(shown.values()), decimals=decimals)}")
    return f"Highest in each column: {'; '.join(said)}."


def ends(metric: Mapping[str, NDArray[np.float64]], steps: Sequence[int], *, measure: str, step: str) -> str:
    """The mean of every series `[seed, step]` at its first and at its last step."""
    said = [
        f"{name} {number(float(values[:, 0].mean()), 0)} at {plural(int(steps[0]), step)}, "
        f"{number(float(values[:, -1].mean()), 0)} at {plural(int(steps[-1]), step)}"
        for name, values in metric.items()
    ]
    return f"Mean {measure}: {'; '.join(said)}."


def _extremes(named: Mapping[str, float], *, decimals: int) -> str:
    if len(named) < 2:
        return "".join(f"{name}: {number(value, decimals)}." for name, value in named.items())
    high, low = (_named(named, end(named.values()), decimals=decimals) for end in (max, min))
    return f"Highest: {high}." if high == low else f"Highest: {high}; lowest: {low}."


def _named(named: Mapping[str, float], value: float, *, decimals: int) -> str:
    shown = number(value, decimals)
    alike = [name for name, other in named.items() if number(other, decimals) == shown]
    return f"{' and '.join(alike)} ({shown})"
