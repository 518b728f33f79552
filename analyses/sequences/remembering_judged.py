"""What `who_remembers_longest` states, and the rule for each statement: written before the numbers were seen.

The tasks' own controls stand beside each: the network before its training, an answer that needs no network, and data
that look the same but cannot be known (targets of other rows, rows in another order).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

import interp
from analyses.sequences.measured import PUBLISHED_LENGTH, PUBLISHED_UNITS, Found
from analyses.sequences.ordering import KINDS
from analyses.sequences.remembering import CELLS, FAMILIES, Memory, any_seen, own_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from interp.reporting.rules import Rule

    Numbers = NDArray[np.float64]

COURSE = "MIT 6.S191, lecture 2"
HOCHREITER = "Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735"
HAVIV = "Haviv et al. 2022, https://arxiv.org/abs/2203.16634"
GATED = ("lstm", "gru")
SOLVED = 0.005
WRONG = 4 * 0.04  # theirs (table 7) is wrong from 0.04 on, and their targets are a quarter of ours
FLAT = 0.1


def gradients(found: Found) -> list[interp.Evidence]:
    """Gradients through time fade, before training and after; gates help; attention does not fade (S1)."""
    before, after = (
        {kind: one.fading[when] for kind, one in found.reaches.items()} for when in ("before", "after")
    )
    fades = [
        faded(
            f"Before training, the gradient fades faster with distance in {a(kind)} than in a transformer.",
            before[kind],
            interp.ExceedsControls(),
            {"transformer": before["transformer"]},
        )
        for kind in CELLS
    ]
    flat = faded(
        "Before training, the gradient of a transformer does not fade with distance.",
        before["transformer"],
        interp.LiesWithin(-FLAT, FLAT),
        {},
    )
    helped = [
        faded(
            f"{when} training, the gradient fades more slowly in {a(kind)} than in a tanh network.",
            values[kind],
            interp.BelowControls(),
            {"tanh network": values["rnn"]},
        )
        for when, values in (("Before", before), ("After", after))
        for kind in GATED
    ]
    learned = [
        faded(
            f"{A(kind)} learns to let the gradient fade more slowly.",
            after[kind],
            interp.BelowControls(),
            {"before training": before[kind]},
        )
        for kind in GATED
    ]
    return [*fades, flat, *helped, *learned]


def faded(statement: str, values: Numbers, rule: Rule, controls: Mapping[str, Numbers]) -> interp.Evidence:
    """A statement about how fast gradients fade."""
    measure = "decades of the gradient's norm lost per 10 positions, on the adding problem"
    return interp.Evidence(statement, COURSE, measure, values, rule, controls)


def adding(found: Found, length: int) -> list[interp.Evidence]:
    """The adding problem, learned by networks of nearly equal size (S1)."""
    measure = f"mean squared error, {length} positions"
    learns = [
        interp.Evidence(
            f"{A(kind)} learns to add two numbers of a row of {length}.",
            COURSE,
            measure,
            one.mean(),
            interp.BelowControls(),
            {
                "before training": one.mean("untrained"),
                "answering 0 without looking": nothing(one),
                "the targets of other rows": one.mean("deceived"),
            },
        )
        for kind, one in found.adding.items()
    ]
    rnn = found.adding["rnn"].mean()
    better = [
        interp.Evidence(
            f"{A(kind)} adds two numbers of a row of {length} better than a tanh network of as many parameters.",
            COURSE,
            measure,
            found.adding[kind].mean(),
            interp.BelowControls(),
            {"tanh network": rnn},
        )
        for kind in (*GATED, "transformer")
    ]
    return [*learns, *better]


def published(found: Found) -> list[interp.Evidence]:
    """Tanh networks and LSTMs of 8 units at the published length."""
    lstm, rnn, equal = found.published["lstm"], found.published["rnn"], found.adding["rnn"]
    return [
        interp.Evidence(
            f"Most LSTMs of {PUBLISHED_UNITS} units add two of {PUBLISHED_LENGTH} numbers with a mean squared error "
            f"under {SOLVED}.",
            COURSE,
            f"share of LSTMs under {SOLVED}",
            (lstm.mean() < SOLVED).astype(float),
            interp.LiesWithin(0.5, 1.0),
            {
                "before training": (lstm.mean("untrained") < SOLVED).astype(float),
                "answering 0 without looking": (nothing(lstm) < SOLVED).astype(float),
            },
        ),
        interp.Evidence(
            f"A tanh network's error is over ten times that of an LSTM of {PUBLISHED_UNITS} units, "
            f"{lstm.parameters} parameters.",
            COURSE,
            f"log10 of the mean squared error, {PUBLISHED_LENGTH} positions",
            np.log10(lstm.mean()),
            interp.BelowControls(margin=1.0),
            {
                f"tanh network of {PUBLISHED_UNITS} units, {rnn.parameters} parameters": np.log10(rnn.mean()),
                f"tanh network of {equal.parameters:,} parameters": np.log10(equal.mean()),
            },
        ),
        interp.Evidence(
            "An LSTM gets hardly a row wrong (published: 1 of 2,560, rows of 100 to 110).",
            HOCHREITER,
            f"share of rows with an error of {WRONG} or more, as they count",
            own_mean((lstm.scored >= WRONG**2).astype(float), lstm.shares),
            interp.LiesWithin(0.0, 0.01),
        ),
    ]


def recalling(found: Found) -> list[interp.Evidence]:
    """Key-value recall by networks of nearly equal size, and what is left of it at long lags (S1)."""
    learns = [
        interp.Evidence(
            f"{A(kind)} learns to name the value of a key.",
            COURSE,
            "share of right answers",
            one.mean(),
            interp.ExceedsControls(),
            {
                "before training": one.mean("untrained"),
                "naming a value of the row at random": one.guessing(any_seen(one.data)),
                "rows in another order": one.mean("deceived"),
            },
        )
        for kind, one in found.recall.items()
    ]
    near, far = thirds(found.recall["rnn"].lag)
    late = {kind: one.between(far, np.inf) for kind, one in found.recall.items()}
    forgets = [
        interp.Evidence(
            f"{A(kind)} answers rightly less often when the value is far back than when it is near.",
            COURSE,
            f"share of right answers, lag of {far} or more",
            late[kind],
            interp.BelowControls(),
            {f"lag below {near}": one.between(0, near)},
        )
        for kind, one in found.recall.items()
    ]
    others = [
        interp.Evidence(
            f"When the value is far back, a transformer is right more often than {a(kind)} of as many parameters.",
            COURSE,
            f"share of right answers, lag of {far} or more",
            late["transformer"],
            interp.ExceedsControls(),
            {FAMILIES[kind]: late[kind]},
        )
        for kind in CELLS
    ]
    return [*learns, *forgets, *others]


def waiting(found: Found) -> list[interp.Evidence]:
    """What waits for what: counted in the chain of matrix products, the same on any machine (S2)."""
    measure = "matrix products more in the longest chain, for each position more"
    read = [
        interp.Evidence(
            f"{A(kind)} reads step by step: each position waits for the one before.",
            COURSE,
            f"{measure} read",
            found.waits[kind]["reading"],
            interp.Equals(1),
            {"transformer": found.waits["transformer"]["reading"]},
        )
        for kind in CELLS
    ]
    at_once = interp.Evidence(
        "A transformer reads all positions at once: a longer row waits no longer.",
        COURSE,
        f"{measure} read",
        found.waits["transformer"]["reading"],
        interp.Equals(0),
        {FAMILIES[kind]: found.waits[kind]["reading"] for kind in CELLS},
    )
    written = interp.Evidence(
        "In writing, a transformer waits for each token, and longer than a recurrent network of one layer.",
        COURSE,
        f"{measure} written",
        found.waits["transformer"]["writing"],
        interp.ExceedsControls(),
        {FAMILIES[kind]: found.waits[kind]["writing"] for kind in CELLS},
    )
    return [*read, at_once, written]


def ordering(found: Found) -> list[interp.Evidence]:
    """A task of order: with positions, without, and without but for the mask (S3)."""
    positions, neither, mask = (found.order[kind] for kind in KINDS)
    measure = "share of right answers to which of two symbols came first"
    half = [0.5] * len(positions.right)
    return [
        interp.Evidence(
            "With positions, a transformer that sees both ways learns which of two symbols came first.",
            COURSE,
            measure,
            positions.right,
            interp.ExceedsControls(),
            {
                "without positions": neither.right,
                "before training": positions.untrained,
                "rows in another order": positions.reordered,
                "naming either": half,
            },
        ),
        interp.Evidence(
            "Without positions, order changes nothing in what a transformer that sees both ways answers.",
            COURSE,
            "largest change of a logit when rows are put into another order",
            neither.moved,
            interp.LiesWithin(0.0, 1e-3),
            {"with positions": positions.moved, "no positions, but a mask": mask.moved},
        ),
        interp.Evidence(
            "Without positions, a mask that hides what follows is enough to learn which of two symbols came first.",
            HAVIV,
            measure,
            mask.right,
            interp.ExceedsControls(),
            {
                "without positions or mask": neither.right,
                "before training": mask.untrained,
                "rows in another order": mask.reordered,
                "naming either": half,
            },
        ),
    ]


def nothing(one: Memory) -> Numbers:
    """The squared error of answering 0, always."""
    return one.guessing(one.data.targets.square().sum(-1).double().numpy())


def thirds(lag: NDArray[np.int64]) -> tuple[int, int]:
    """Where the second and the last third of the lags begin."""
    least, most = int(lag.min()), int(lag.max()) + 1
    return least + (most - least) // 3, most - (most - least) // 3


def a(kind: str) -> str:
    """The family with its article."""
    return f"{'an' if kind == 'lstm' else 'a'} {FAMILIES[kind]}"


def A(kind: str) -> str:
    """The same at the head of a sentence."""
    return a(kind)[0].upper() + a(kind)[1:]
