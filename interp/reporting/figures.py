"""The figures that reports need: intervals at places along the network, curves over time, small images.

Each function draws and, from the same numbers, says what it drew. Intervals are drawn where they were handed
in and never computed here, but for the band of `curves`, which is the range of the seeds: all of them, no
statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Num, Shaped
from matplotlib.axes import Axes

from interp.measuring.statistics import Numbers, measured
from interp.refusals import Refused
from interp.reporting.drawing import COLOURS, INK, LINE_STYLES, MARKERS, WIDTH, Drawing, Figure
from interp.reporting.place_names import name_places
from interp.reporting.wording import number, plural, readable, with_interval

MOST_SERIES = len(COLOURS)
MOST_READ_OUT = 30
MOST_LETTERS_IN_A_ROW = 84


@dataclass(frozen=True)
class Spot:
    """One dot: a place (a hook, say), the series it belongs to, the estimate and its interval in one unit."""

    place: str
    series: str
    estimate: int | float
    interval: tuple[int | float, int | float]

    def __post_init__(self) -> None:
        if not np.isfinite([self.estimate, *self.interval]).all():
            raise Refused(
                f"{self.series} at {self.place} is {self.estimate} {self.interval}; dots need numbers."
            )

    @classmethod
    def over_seeds(cls, place: str, series: str, values: Numbers) -> Spot:
        """The mean of one number per seed with its interval."""
        over_seeds = measured(values)
        return cls(place, series, over_seeds.estimate, over_seeds.interval)


def interval_plot(
    spots: Sequence[Spot],
    *,
    measure: str,
    caption: str,
    lines: Mapping[str, int | float] | None = None,
    ordered: bool = False,
) -> Figure:
    """Dots with intervals: places along x in the order given, one series per control, `lines` across all.

    `ordered`: the places follow one upon another (layers, sizes), so that a line joins the dots of a series. Refuses
    no spots, more series than can be told apart, and a series with two dots at one place.
    """
    places, series = list(dict.fromkeys(s.place for s in spots)), list(dict.fromkeys(s.series for s in spots))
    _check_series(series)
    if len({(spot.place, spot.series) for spot in spots}) < len(spots):
        raise Refused("A series has two dots at one place; give each place and series once.")
    lines = lines or {}
    with Drawing(height=3.8) as drawing:
        for rank, name in enumerate(series):
            shift = (rank - (len(series) - 1) / 2) * min(0.14, 0.7 / len(series))
            own = [spot for spot in spots if spot.series == name]
            x = [places.index(spot.place) + shift for spot in own]
            _dots(drawing.axes, x, own, rank=rank, joined=ordered)
        _lines_across(drawing.axes, lines)
        drawing.axes.set_xlim(-0.55, len(places) - 0.45)
        drawing.axes.grid(visible=False, axis="x")
        _finish(drawing.axes, x_label="", y_label=measure)
        name_places(drawing.axes, range(len(places)), places)
    return drawing.figure(alt=_interval_alt(spots, measure=measure, lines=lines), caption=caption)


def curves(
    metric: Mapping[str, Num[np.ndarray, "seed step"]],
    steps: Num[np.ndarray, " step"],
    *,
    labels: tuple[str, str],
    caption: str,
    each_seed: bool = False,
    chance: int | float | None = None,
) -> Figure:
    """A metric against `steps`: the mean of each series with the range of its seeds, or a line for each seed.

    `labels` name the x and the y axis. Refuses values that are not finite (leave diverged seeds out by name).
    """
    _check_series(list(metric))
    for name, values in metric.items():
        if not np.isfinite(values).all():
            raise Refused(f"{name} holds {int((~np.isfinite(values)).sum())} values that are not finite.")
    with Drawing() as drawing:
        for rank, (name, values) in enumerate(metric.items()):
            _curve(drawing.axes, (steps, values), name=readable(name), rank=rank, each_seed=each_seed)
        _lines_across(drawing.axes, {} if chance is None else {"chance": chance})
        _finish(drawing.axes, x_label=labels[0], y_label=labels[1])
    return drawing.figure(alt=_curves_alt(metric, steps, labels=labels, chance=chance), caption=caption)


def images_grid(
    images: Shaped[np.ndarray, "image row column"],
    *,
    titles: Sequence[str],
    caption: str,
    columns: int = 8,
    signed: bool = False,
) -> Figure:
    """Small images (digits, or weights) on one common grey scale; `signed` puts zero at mid grey.

    Light is large, dark is small. Refuses another number of titles than of images, and values not finite.
    """
    images = np.asarray(images, dtype=np.float64)
    if len(images) == 0 or len(titles) != len(images):
        raise Refused(
            f"{plural(len(images), 'image')} with {plural(len(titles), 'title')}; give one for each."
        )
    if not np.isfinite(images).all():
        raise Refused(f"{int((~np.isfinite(images)).sum())} pixels are not finite; images need numbers.")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    largest = float(np.abs(images).max())
    low, high = (-largest, largest) if signed else (float(images.min()), float(images.max()))
    with Drawing(height=rows * (min(1.2, WIDTH / columns) + 0.25), rows=rows, columns=columns) as drawing:
        for axes in drawing.all_axes:
            axes.set_axis_off()
        for axes, image, title in zip(drawing.all_axes, images, titles, strict=False):
            axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="none")
            axes.set_title(title, fontsize=8)
    return drawing.figure(alt=_images_alt(images, titles, low=low, high=high), caption=caption)


def _check_series(series: Sequence[str]) -> None:
    if not 1 <= len(series) <= MOST_SERIES:
        raise Refused(f"{len(series)} series were given; a figure tells 1 to {MOST_SERIES} apart. Split it.")


def _dots(axes: Axes, x: Sequence[float], spots: Sequence[Spot], *, rank: int, joined: bool) -> None:
    y = np.array([spot.estimate for spot in spots])
    reach = np.array([[s.estimate - s.interval[0], s.interval[1] - s.estimate] for s in spots]).T
    line = LINE_STYLES[rank] if joined else "none"
    style: dict[str, Any] = {"color": COLOURS[rank], "marker": MARKERS[rank], "linestyle": line}
    axes.plot(x, y, linewidth=0.8, label=readable(spots[0].series), **style)
    axes.errorbar(x, y, yerr=np.clip(reach, 0, None), fmt="none", ecolor=COLOURS[rank], capsize=3)


def _lines_across(axes: Axes, lines: Mapping[str, int | float]) -> None:
    """Horizontal lines named at their right end; lines too close for two names share one."""
    for height in lines.values():
        axes.axhline(height, color=INK, linewidth=0.9, linestyle=(0, (1, 1.5)))
    low, high = axes.get_ylim()
    shared: list[tuple[float, str]] = []
    for name, height in sorted(lines.items(), key=lambda line: line[1]):
        if shared and height - shared[-1][0] < 0.05 * (high - low):
            shared[-1] = (shared[-1][0], f"{readable(name)}\n{shared[-1][1]}")
        else:
            shared.append((height, readable(name)))
    for height, names in shared:
        _name_at_the_right(axes, names, height=height)


def _name_at_the_right(axes: Axes, name: str, *, height: float) -> None:
    axes.annotate(
        name,
        xy=(1, height),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        annotation_clip=False,
    )


def _curve(axes: Axes, data: tuple[np.ndarray, np.ndarray], *, name: str, rank: int, each_seed: bool) -> None:
    steps, values = data
    style: dict[str, Any] = {"color": COLOURS[rank], "linestyle": LINE_STYLES[rank]}
    if each_seed:
        axes.plot(steps, values.T, linewidth=0.6, alpha=0.6, **style)
    elif len(values) > 1:
        axes.fill_between(steps, values.min(0), values.max(0), color=COLOURS[rank], alpha=0.16, linewidth=0)
    every = max(1, len(steps) // 8)
    axes.plot(
        steps, values.mean(0), label=name, marker=MARKERS[rank], markevery=(rank % every, every), **style
    )


def _finish(axes: Axes, *, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    handles, names = axes.get_legend_handles_labels()
    if len(names) > 1:
        wide = sum(len(name) + 6 for name in names) > MOST_LETTERS_IN_A_ROW
        columns = -(-len(names) // 2) if wide else len(names)
        axes.legend(
            handles, names, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=columns, borderaxespad=0
        )


def _interval_alt(spots: Sequence[Spot], *, measure: str, lines: Mapping[str, int | float]) -> str:
    parts = [f"Dots with intervals: {measure}."]
    for series in dict.fromkeys(spot.series for spot in spots):
        of_series = [spot for spot in spots if spot.series == series]
        read_out = _read_out(of_series, brief=len(spots) > MOST_READ_OUT)
        parts.append(f"{readable(series).capitalize()}: {read_out}.")
    parts += [f"Line across: {readable(name)} {number(height)}." for name, height in lines.items()]
    return " ".join(parts)


def _read_out(spots: Sequence[Spot], *, brief: bool) -> str:
    if brief:
        least, most = min(spots, key=lambda s: s.estimate), max(spots, key=lambda s: s.estimate)
        spots = [least, most]
    said = [f"{spot.place} {with_interval(spot.estimate, spot.interval)}" for spot in spots]
    return ("from " + " to ".join(said)) if brief else ", ".join(said)


def _curves_alt(
    metric: Mapping[str, np.ndarray],
    steps: np.ndarray,
    *,
    labels: tuple[str, str],
    chance: int | float | None,
) -> str:
    first, last = number(float(steps[0])), number(float(steps[-1]))
    parts = [f"Curves: {labels[1]} against {labels[0]}, from {first} to {last}."]
    for name, values in metric.items():
        mean, end = values.mean(0), values[:, -1]
        parts.append(
            f"{readable(name).capitalize()}, {plural(len(values), 'seed')}: mean from "
            f"{number(float(mean[0]))} to {number(float(mean[-1]))}, seeds at the end "
            f"from {number(float(end.min()))} to {number(float(end.max()))}."
        )
    return " ".join([*parts, *([] if chance is None else [f"Line across: chance {number(chance)}."])])


def _images_alt(images: np.ndarray, titles: Sequence[str], *, low: float, high: float) -> str:
    size = f"{images.shape[1]} by {images.shape[2]} pixels"
    named = ", ".join(titles[:MOST_READ_OUT]) + (", …" if len(titles) > MOST_READ_OUT else "")
    scale = f"Dark is {number(low)}, light is {number(high)}"
    return f"{plural(len(images), 'image')} of {size} in grey: {named}. {scale}."
