"""Tables, figures and notes of `who_remembers_longest`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import interp
from analyses.equal_sizes import unequal
from analyses.sequences.measured import Found, Setting
from analyses.sequences.ordering import KINDS
from analyses.sequences.reaching import Reach, gone, relative
from analyses.sequences.remembering import EMBEDDED, FAMILIES, PAIRS, RATES, Memory

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

BINS = 6


def tables(found: Found) -> dict[str, pd.DataFrame]:
    """Every number behind the claims, a row for each network and seed."""
    import pandas as pd

    adding = dict(found.adding) | {f"{kind}, 8 units": one for kind, one in found.published.items()}
    order = [
        pd.DataFrame(
            {
                "network": KINDS[kind],
                "seed": range(len(one.right)),
                "right": one.right,
                "untrained": one.untrained,
                "other_order": one.reordered,
                "largest_change_of_a_logit": one.moved,
            }
        )
        for kind, one in found.order.items()
    ]
    return {
        "adding": memories(adding, "squared_error"),
        "recall": memories(found.recall, "right"),
        "gradients": gradients(found),
        "chains": chains(found),
        "order": pd.concat(order, ignore_index=True),
    }


def memories(found: Mapping[str, Memory], measure: str) -> pd.DataFrame:
    """What was reached on one task."""
    import pandas as pd

    parts = [
        pd.DataFrame(
            {
                "network": FAMILIES.get(kind, kind),
                "parameters": one.parameters,
                "rate": one.rate,
                "seed": range(len(one.shares)),
                measure: one.mean(),
                "untrained": one.mean("untrained"),
                "deceived": one.mean("deceived"),
            }
        )
        for kind, one in found.items()
    ]
    return pd.concat(parts, ignore_index=True)


def gradients(found: Found) -> pd.DataFrame:
    """How fast gradients fade, before and after training."""
    import pandas as pd

    parts = [
        pd.DataFrame({"network": FAMILIES[kind], "seed": range(len(one.before)), **one.fading})
        for kind, one in found.reaches.items()
    ]
    whole = pd.concat(parts, ignore_index=True)
    whole.attrs["caption"] = "Decades of the gradient's norm lost per 10 positions, before and after training"
    return whole


def chains(found: Found) -> pd.DataFrame:
    """Products that wait, for each position more."""
    import pandas as pd

    rows = [
        {"network": FAMILIES[kind]} | {chain: float(each.mean()) for chain, each in both.items()}
        for kind, both in found.waits.items()
    ]
    whole = pd.DataFrame(rows)
    whole.attrs["caption"] = (
        "Matrix products more in the longest chain, for each position more read or written"
    )
    return whole


def figures(found: Found) -> dict[str, Any]:
    """Gradients against distance, error and recall against lag, order."""
    shown = {
        f"gradient_{when}": gradient_figure(
            {FAMILIES[kind]: getattr(one, when) for kind, one in found.reaches.items()}, when
        )
        for when in ("before", "after")
    }
    return shown | {
        "adding": lag_figure(found.adding, "mean squared error", "Adding problem: error"),
        "recall": lag_figure(found.recall, "share of right answers", "Key-value recall: right answers"),
        "order": interp.interval_plot(
            [
                interp.Spot.over_seeds(KINDS[kind], name, values)
                for kind, one in found.order.items()
                for name, values in {
                    "trained": one.right,
                    "before training": one.untrained,
                    "rows in another order": one.reordered,
                }.items()
            ],
            measure="share of right answers",
            caption="Which of two symbols came first? Right answers of transformers with and without positions and "
            "mask, with intervals over seeds.",
            lines={"naming either": 0.5},
        ),
    }


def gradient_figure(norms: Mapping[str, Numbers], when: str) -> Any:
    """log10 of the gradient's norm, against distance, relative to its largest value."""
    distances = np.arange(min(one.shape[1] for one in norms.values()))
    return interp.curves(
        {name: relative(one) for name, one in norms.items()},
        distances,
        labels=("positions from the end", "log10 of the gradient's norm"),
        caption=f"The norm of the output's gradient with respect to each position, {when} training on the adding "
        "problem, relative to the largest: mean and range over seeds. Each unit down is a factor of ten.",
    )


def lag_figure(found: Mapping[str, Memory], measure: str, title: str) -> Any:
    """A score against lag, in bins of equal width."""
    lag = next(iter(found.values())).lag
    edges = np.unique(np.linspace(lag.min(), lag.max() + 1, min(BINS, len(np.unique(lag))) + 1).round())
    middles = (edges[:-1] + edges[1:] - 1) / 2
    return interp.curves(
        {
            FAMILIES[kind]: np.stack(
                [one.between(low, high) for low, high in itertools.pairwise(edges)], axis=1
            )
            for kind, one in found.items()
        },
        middles,
        labels=("lag: positions from what is asked for to the end", measure),
        caption=f"{title} against lag, networks of nearly equal size: mean and range over seeds.",
    )


def vanished(reaches: Mapping[str, Reach]) -> list[str]:
    """In which networks the gradient does not reach all distances, where there are any."""
    rows = [
        f"{gone(getattr(one, when)).sum()} of {len(one.before)} {FAMILIES[kind]}s {when} training"
        for kind, one in reaches.items()
        for when in ("before", "after")
        if gone(getattr(one, when)).any()
    ]
    if not rows:
        return []
    return [
        f"The gradient does not reach all distances in {', '.join(rows)} (30 decades below the largest count for "
        "nothing): how fast it fades is told by those it reaches."
    ]


def notes(setting: Setting, found: Found) -> list[str]:
    """What a reader must know to weigh the verdicts."""
    sizes = {
        task: ", ".join(f"{FAMILIES[kind]} {one.parameters:,}" for kind, one in part.items())
        for task, part in (("adding", found.adding), ("recall", found.recall))
    }
    apart = max(
        unequal({kind: one.parameters for kind, one in part.items()}) for part in (found.adding, found.recall)
    )
    rates = ", ".join(f"{FAMILIES[kind]} {one.rate:g}" for kind, one in found.recall.items())
    adder = found.adding["transformer"]
    placed = dict(adder.model.named_parameters())["pos_embed.W_pos"][0].numel() / adder.parameters
    said = [
        f"Parameters, all counted: on the adding problem {sizes['adding']}; on recall {sizes['recall']}. The largest "
        f"is at most {apart:.1%} above the smallest.",
        f"Of the transformer that adds, {placed:.0%} of the parameters are position embeddings; it sees both ways, its "
        "answer is read from a token before the row, and each position is a patch of 2x2 (number and mark above two "
        "zeros).",
        f"Adding: Adam, 0.005 halved every 1,500 steps, batches of 32, {8 * -(-setting.adding_rows // 32):,} steps, "
        "for all alike: the settings at which an LSTM of 8 units is known to learn it, chosen for no other network.",
        f"Recall: {PAIRS} pairs of 4 keys and 4 values, {setting.recall_length} positions, embeddings of {EMBEDDED} "
        f"numbers; each family at the better of the rates {', '.join(f'{rate:g}' for rate in RATES)} by the probe "
        f"split ({rates}). Where a family names either value of the row, it has not found how to tell the keys apart, "
        "which is no matter of lag.",
        "Gradients are those of the output, not of the loss, with respect to what enters the first layer, on 200 test "
        "rows; what stands at a position without a mark should count for nothing once the task is learned.",
        "Chains count products that must wait, whatever the machine; they do not say how long a product takes. For a "
        "row twice as long, attention takes four times the arithmetic, a recurrent network twice. Seconds are left "
        "out, so that a report comes out the same twice: `make bench` measures them.",
    ]
    said += vanished(found.reaches)
    if not setting.is_published_setting:
        said.append(
            "Left out: tanh networks and LSTMs of 8 units at the published length, 100 positions and 32,000 rows: run "
            "without --quick."
        )
    return said
