"""Drawings: same bytes, nobody's settings touched, told apart in grey, and described."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest

from interp.refusals import Refused
from interp.reporting.drawing import COLOURS, LINE_STYLES, MARKERS, Drawing, Figure
from interp.reporting.figures import Spot, curves, images_grid, interval_plot

SVG = "{http://www.w3.org/2000/svg}"
SPOTS = [
    Spot("layers.0.hook_post", "trained", 0.90, (0.88, 0.92)),
    Spot("layers.1.hook_post", "trained", 0.93, (0.91, 0.95)),
    Spot("layers.0.hook_post", "shuffled_labels", 0.10, (0.08, 0.12)),
    Spot("layers.1.hook_post", "shuffled_labels", 0.11, (0.09, 0.13)),
]


def plot(spots: list[Spot] = SPOTS) -> Figure:
    return interval_plot(spots, measure="accuracy", caption="Where.", lines={"raw_input": 0.955})


def texts(figure: Figure) -> list[str]:
    return ["".join(e.itertext()) for e in ET.fromstring(figure.svg.encode()).iter(f"{SVG}text")]


def test_every_figure_is_a_document_with_role_title_and_description(demo_figures: dict[str, Figure]) -> None:
    for figure in demo_figures.values():
        root = ET.fromstring(figure.svg.encode())
        assert root.get("role") == "img"
        assert root.findtext(f"{SVG}title") == figure.caption
        assert root.findtext(f"{SVG}desc") == figure.alt


def test_the_same_numbers_give_the_same_bytes_whatever_the_users_settings() -> None:
    first = plot()
    with matplotlib.rc_context({"axes.facecolor": "red", "svg.hashsalt": "other", "font.size": 30}):
        assert plot() == first


def test_no_date_no_maker_and_no_address_of_a_document_type(demo_figures: dict[str, Figure]) -> None:
    for figure in demo_figures.values():
        assert "matplotlib.org" not in figure.svg
        assert "<dc:date>" not in figure.svg
        assert "DOCTYPE" not in figure.svg


def settings() -> dict[str, object]:
    """matplotlib's settings but for the backend, which is looked up (and loads pyplot) when it is read."""
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}


def test_drawing_changes_no_settings_and_leaves_pyplot_alone() -> None:
    loaded = "matplotlib.pyplot" in sys.modules
    with matplotlib.rc_context({"font.size": 31.0, "axes.grid": False, "svg.hashsalt": "mine"}):
        before = settings()
        plot()
        with pytest.raises(RuntimeError), Drawing():
            raise RuntimeError("while drawing")
        assert settings() == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_hooks_stand_in_the_order_given_and_lines_are_named() -> None:
    written = texts(plot())
    assert written.index("layers.0.hook_post") < written.index("layers.1.hook_post")
    assert {"raw input", "trained", "shuffled labels", "accuracy"} <= set(written)


def test_no_line_joins_dots_of_places_without_an_order() -> None:
    def widths(figure: Figure) -> set[str]:
        paths = ET.fromstring(figure.svg.encode()).iter(f"{SVG}path")
        return {style for path in paths if "stroke-width: 0.8" in (style := path.get("style", ""))}

    of_layers = interval_plot(SPOTS, measure="accuracy", caption="Where.", ordered=True)
    assert len({style for style in widths(of_layers) - widths(plot()) if COLOURS[0] in style}) == 1


def test_names_that_do_not_fit_are_broken_and_then_slanted() -> None:
    def rotated(count: int, name: str) -> tuple[bool, list[str]]:
        spots = [Spot(f"{name}{place}", "a", 0.5, (0.4, 0.6)) for place in range(count)]
        figure = interval_plot(spots, measure="m", caption="c")
        return "rotate(-35" in figure.svg, texts(figure)

    assert rotated(3, "a.b")[0] is False
    slanted, written = rotated(6, "blocks.0.attn.hook_")
    assert (slanted, "hook_0" in written) == (False, True)
    slanted, written = rotated(16, "gradient x activation ")
    assert (slanted, "gradient x activation 0" in written) == (True, True)


def test_the_words_of_an_interval_plot_are_its_numbers() -> None:
    assert plot().alt == (
        "Dots with intervals: accuracy. "
        "Trained: layers.0.hook_post 0.90 [0.88, 0.92], layers.1.hook_post 0.93 [0.91, 0.95]. "
        "Shuffled labels: layers.0.hook_post 0.10 [0.08, 0.12], layers.1.hook_post 0.11 [0.09, 0.13]. "
        "Line across: raw input 0.955."
    )


def test_many_dots_are_summed_up_by_the_least_and_the_most() -> None:
    spots = [
        Spot(f"layers.{i}.hook_post", "trained", i / 40, (i / 40 - 0.01, i / 40 + 0.01)) for i in range(40)
    ]
    alt = plot(spots).alt
    assert "from layers.0.hook_post 0.000 [-0.010, 0.010] to layers.39.hook_post 0.975 [0.965, 0.985]" in alt
    assert "layers.20" not in alt


def test_the_words_of_curves_are_their_ends() -> None:
    values = np.array([[0.1, 0.5, 0.9], [0.3, 0.5, 0.8]])
    figure = curves(
        {"rate 3": values}, np.arange(3), labels=("epoch", "accuracy"), caption="Learning.", chance=0.1
    )
    assert figure.alt == (
        "Curves: accuracy against epoch, from 0 to 2. Rate 3, 2 seeds: mean from 0.2 to 0.85, seeds at "
        "the end from "
        "0.8 to 0.9. Line across: chance 0.1."
    )


def test_each_seed_gets_a_line_when_asked() -> None:
    metric, steps = {"rate 3": np.random.default_rng(0).random((5, 4))}, np.arange(4)
    lines = [
        curves(metric, steps, labels=("x", "y"), caption="c", each_seed=each).svg.count('id="line2d_')
        for each in (False, True)
    ]
    assert lines[1] - lines[0] == 5


def test_the_words_of_images_name_them_and_their_scale() -> None:
    images = np.zeros((3, 8, 8))
    images[0, 0, 0] = -2.0
    titles = ["digit 3", "digit 5", "digit 8"]
    figure = images_grid(images, titles=titles, caption="Digits.", signed=True)
    assert (
        figure.alt == "3 images of 8 by 8 pixels in grey: digit 3, digit 5, digit 8. Dark is -2, light is 2."
    )
    assert figure.svg.count("<image") == 3
    assert images_grid(images.astype(np.uint8), titles=titles, caption="c").alt.endswith("light is 254.")


def test_series_differ_by_marker_line_and_brightness() -> None:
    grey = [0.2126 * int(c[1:3], 16) + 0.7152 * int(c[3:5], 16) + 0.0722 * int(c[5:7], 16) for c in COLOURS]
    assert grey == sorted(grey)
    assert min(np.diff(grey)) >= 14
    assert len(set(MARKERS)) == len({str(style) for style in LINE_STYLES}) == len(COLOURS)


def test_senseless_figures_are_refused_with_the_figure() -> None:
    with pytest.raises(Refused, match="0 series were given"):
        plot([])
    with pytest.raises(Refused, match="7 series were given"):
        plot([Spot("a", str(i), 0.5, (0.4, 0.6)) for i in range(7)])
    with pytest.raises(Refused, match="two dots at one place"):
        plot([SPOTS[0], SPOTS[0]])
    with pytest.raises(Refused, match="b at a is nan"):
        Spot("a", "b", np.nan, (0.1, 0.2))
    with pytest.raises(Refused, match="1 values that are not finite"):
        curves({"a": np.array([[1.0, np.nan]])}, np.arange(2), labels=("x", "y"), caption="c")
    with pytest.raises(Refused, match="2 images with 1 title; give one"):
        images_grid(np.zeros((2, 8, 8)), titles=["one"], caption="c")
    with pytest.raises(Refused, match="1 pixels are not finite"):
        images_grid(np.full((1, 1, 1), np.inf), titles=["one"], caption="c")
    with pytest.raises(Refused, match="give the text of an SVG"):
        Figure("PNG", "alt", "caption")


def test_a_figure_shows_itself_in_a_notebook() -> None:
    html = Figure("<svg/>", 'a "quoted" word', "A < B")._repr_html_()
    assert 'alt="a &quot;quoted&quot; word"' in html
    assert "<figcaption>A &lt; B</figcaption>" in html
