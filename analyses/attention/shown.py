"""Tables, figures and notes of `what_do_cheaper_attentions_lose`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import interp
import models
from analyses.attention.costs import kept_numbers, operations
from analyses.attention.recall import TIMES, VALUES, Recalled, Setting, share

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

COUNTED_AT = 256
LENGTHS = (32, 64, 128, COUNTED_AT, 2 * COUNTED_AT)


def recall_table(
    found: Mapping[str, Recalled],
    tests: Mapping[int, models.Dataset],
    shares: NDArray[np.bool_],
    setting: Setting,
) -> pd.DataFrame:
    """Recall of each kind and seed, by length, near and far."""
    import pandas as pd

    rows = []
    for kind, one in found.items():
        for times, right in one.right.items():
            near = (tests[times].examples["lag"] < setting.window).to_numpy()
            parts = [share(right, shares), share(right, shares, near), share(right, shares, ~near)]
            rows += [
                {"attention": kind, "length": times * setting.length, "seed": seed}
                | {"right": whole, "right_within_window": close, "right_beyond": far}
                for seed, (whole, close, far) in enumerate(zip(*parts, strict=True))
            ]
    return pd.DataFrame(rows)


def cost_table(found: Mapping[str, Recalled]) -> pd.DataFrame:
    """Operations and kept numbers of one layer against length."""
    import pandas as pd

    return pd.DataFrame(
        {
            "attention": kind,
            "length": length,
            "operations": operations(one.network, length),
            "kept_numbers": kept_numbers(one.network, length),
            "parameters": one.parameters,
        }
        for kind, one in found.items()
        for length in LENGTHS
    )


def figures(
    found: Mapping[str, Recalled],
    tests: Mapping[int, models.Dataset],
    shares: NDArray[np.bool_],
    setting: Setting,
) -> dict[str, Any]:
    """Recall against length, recall against lag, operations against length."""
    lag = tests[1].examples["lag"].to_numpy()
    edges = np.arange(1, setting.length, max(1, setting.window // 2))
    bins = [(lag >= low) & (lag < low + edges[1] - edges[0]) for low in edges]
    return {
        "length": interp.curves(
            {
                kind: np.stack([share(one.right[t], shares) for t in TIMES], axis=1)
                for kind, one in found.items()
            },
            np.array([times * setting.length for times in TIMES]),
            labels=("positions in a row", "share answered rightly"),
            caption=f"Recall among {setting.pairs} pairs in rows of the length trained on, and longer: mean and range "
            "over seeds.",
            chance=1 / VALUES,
        ),
        "lag": interp.curves(
            {
                kind: np.stack([one.right[1][:, rows].mean(axis=1) for rows in bins if rows.any()], axis=1)
                for kind, one in found.items()
            },
            np.array([low for low, rows in zip(edges, bins, strict=True) if rows.any()]),
            labels=("positions back to the pair (from)", "share answered rightly"),
            caption=f"Recall by how far back the pair stands, in rows of {setting.length}; each seed on all "
            "test rows: mean and range over seeds.",
            chance=1 / VALUES,
        ),
        "operations": interp.curves(
            {kind: np.log2([[operations(one.network, n) for n in LENGTHS]]) for kind, one in found.items()},
            np.log2(np.array(LENGTHS)),
            labels=("positions (power of 2)", "operations of a layer (power of 2)"),
            caption="Operations that gather values at all positions, one layer, without projections: a slope of 2 is "
            "quadratic, of 1 linear. Shared heads save none of them.",
        ),
    }


def notes(found: Mapping[str, Recalled], setting: Setting) -> list[str]:
    """What a reader must know to weigh the verdicts."""
    sizes = ", ".join(f"{kind} {one.parameters:,} ({one.network.d_mlp})" for kind, one in found.items())
    return [
        f"Rows of {setting.length} positions hold {setting.pairs} pairs of {setting.pairs + 4} keys and {VALUES} "
        "values, each pair one token; a window of one layer sees itself and "
        f"{setting.window - 1} positions before, more layers would see further.",
        f"Parameters (and neurons of the MLP): {sizes}. What heads save that share keys and values widens the MLP, so "
        "that networks of nearly equal size are compared; all else is alike.",
        f"Each kind is trained for {setting.epochs} epochs at a rate of {setting.rate:g}: another rate, longer "
        "training, wider heads or other features may lose less.",
        "Operations count the matrix products of attention itself; the fused kernel leaves out what is masked, so it "
        "does about half of them.",
        "Rows of a few dozen positions take the cheaper kinds no less time: what is saved shows in thousands.",
        "What is lost is counted on a task that is nothing but recall; text asks for it less often.",
    ]
