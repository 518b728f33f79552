"""Drawings as SVG text: one look, the same bytes every time, readable in grey and by ear.

matplotlib's object-oriented interface is used inside a style context that starts from its defaults, so
neither the user's settings nor pyplot's state are read or changed. Text stays text (searchable, and small),
identifiers come from a fixed salt, dates and makers are left out. Series differ by marker and line style, and
their colours fall in brightness in the same order, so print in grey loses nothing. The alternative text is
inside the SVG as well.
"""

from __future__ import annotations

import base64
import html
import io
import re
from dataclasses import dataclass
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from interp.refusals import Refused

WIDTH = 7.2
FONTS = "'DejaVu Sans', Verdana, sans-serif"
INK = "#1f2328"
FAINT = "#d9d9d4"
COLOURS = ("#14304f", "#96301c", "#23706a", "#a56b0a", "#7b7fb8", "#b8868f")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINE_STYLES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "interp",
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "lines.linewidth": 1.4,
    "lines.markersize": 5.5,
}


@dataclass(frozen=True)
class Figure:
    """A drawing: `svg` (a whole document), what it shows in words (`alt`), a line beneath it (`caption`)."""

    svg: str
    alt: str
    caption: str

    def __post_init__(self) -> None:
        for name in ("alt", "caption"):
            if not getattr(self, name).strip():
                raise Refused(f"The figure has an empty {name}; say in words what it shows.")
        if not self.svg.lstrip().startswith(("<svg", "<?xml")):
            raise Refused(
                f"The figure's svg begins with {self.svg[:20]!r}; give the text of an SVG document."
            )

    def _repr_html_(self) -> str:
        source = "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()
        image = f'<img alt="{html.escape(self.alt, quote=True)}" src="{source}">'
        return f"<figure>{image}<figcaption>{html.escape(self.caption)}</figcaption></figure>"


class Drawing:
    """A canvas in the house style: draw on `axes` inside the `with`, then take the `figure`."""

    def __init__(self, *, height: float = 3.6, rows: int = 1, columns: int = 1) -> None:
        self._style = matplotlib.style.context(STYLE, after_reset=True)
        self._size, self._grid = (WIDTH, height), (rows, columns)
        self._svg = ""

    def __enter__(self) -> Drawing:
        self._style.__enter__()
        self._canvas = Canvas(figsize=self._size, layout="constrained")
        made = self._canvas.subplots(*self._grid, squeeze=False)
        self.all_axes: list[Axes] = list(made.flat)
        self.axes = self.all_axes[0]
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            if error[0] is None:
                self._svg = _svg_of(self._canvas)
        finally:
            self._style.__exit__(*error)

    def figure(self, *, alt: str, caption: str) -> Figure:
        """The finished drawing with its words."""
        return Figure(_with_words(self._svg, alt=alt, title=caption), alt, caption)


def _svg_of(canvas: Canvas) -> str:
    text = io.StringIO()
    canvas.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = svg.replace("'DejaVu Sans'", FONTS)
    svg = re.sub(r"<!DOCTYPE.*?>\n?", "", svg, flags=re.DOTALL)
    return re.sub(r"[ \t]+\n", "\n", svg)


def _with_words(svg: str, *, alt: str, title: str) -> str:
    """The SVG with role, title and description, for whoever opens the file by itself."""
    words = f"<title>{html.escape(title)}</title>\n <desc>{html.escape(alt)}</desc>"
    svg = svg.replace("<svg ", '<svg role="img" ', 1)
    end = svg.index(">", svg.index("<svg ")) + 1
    return f"{svg[:end]}\n {words}{svg[end:]}"
