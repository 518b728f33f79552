"""What do cheaper attentions save, and what do they lose of a sequence?

Networks of one layer and nearly equal size, each with attention of its kind, learn key-value recall: among noise stand
pairs, each one token, and at the end a key is asked for. Exact attention is held against heads that share keys and
values (grouped-query, multi-query: their MLP is wider instead), a sliding window, and linear attention (T13). The
networks know no positions, so the same ones are asked in rows twice and four times as long, with as many pairs; and
by lag, how far back the pair stands. Each seed is judged on its own share of the test rows. Cost is counted, not timed:
seconds differ from run to run (tests/benchmarks: bench_length.py, bench_attention.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import interp
import models
from analyses.attention.costs import kept_numbers, operations
from analyses.attention.recall import (
    HEADS,
    TEST_ROWS,
    TIMES,
    VALUES,
    Recalled,
    Setting,
    longer_rows,
    networks,
    recalled,
    rows_of,
    share,
)
from analyses.attention.shown import COUNTED_AT, cost_table, figures, notes, recall_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

QUESTION = "What do cheaper attentions save, and what do they lose of a sequence?"
SOURCE = "MIT 6.S191 lecture 2"
TOLERATED = 0.05


@dataclass(frozen=True)
class Config(Setting):
    """`length`, `pairs`: of the rows that train the networks. `window`: how far one layer sees, where it has a window.

    `rows`: to learn from. `error_rate`: the share of wrong verdicts aimed at among the decided ones.
    """

    error_rate: float = 0.05

    @staticmethod
    def quick() -> Config:
        """Fewer rows, shorter training."""
        return Config(rows=2_000, epochs=8)


def answer(config: Config) -> interp.Report:
    """Trains (or finds) the networks of every kind, asks them in longer rows, counts what they cost, judges."""
    begun = time.monotonic()
    data, tests = rows_of(config), {times: longer_rows(config, times) for times in TIMES}
    found = {
        kind: recalled(kind, network, data, tests=tests, setting=config)
        for kind, network in networks(config, data).items()
    }
    seeds = len(next(iter(found.values())).untrained)
    shares = interp.disjoint_shares(seeds, TEST_ROWS)
    evidence = [
        *recalling(found, shares, config),
        *losing(found, tests, shares, config),
        *costing(found, seeds),
    ]
    return interp.Report(
        question=QUESTION,
        analysis="what_do_cheaper_attentions_lose",
        config=config,
        claims=interp.judge(evidence, error_rate=config.error_rate),
        tables={
            "recall": recall_table(found, tests, shares, config),
            "cost": cost_table(found),
            "differences": interp.differences_table(evidence, error_rate=config.error_rate),
        },
        figures=figures(found, tests, shares, config),
        notes=notes(found, config),
        provenance=interp.gather(
            seeds=range(config.seeds),
            data={data.name: data.digest}
            | {f"{times} times as long": test.digest for times, test in tests.items()},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


def recalling(
    found: Mapping[str, Recalled], shares: NDArray[np.bool_], config: Config
) -> list[interp.Evidence]:
    """Each kind recalls more than it would by naming a value that it has seen."""
    seen = 1 / config.pairs + (1 - 1 / config.pairs) / VALUES
    return [
        interp.Evidence(
            f"Networks with {kind} attention recall values by their key.",
            SOURCE,
            "share of rows answered rightly",
            share(one.right[1], shares),
            interp.ExceedsControls(),
            {
                "untrained": share(one.untrained, shares),
                "naming the value of a pair drawn at random": [seen] * len(shares),
            },
        )
        for kind, one in found.items()
    ]


def losing(
    found: Mapping[str, Recalled],
    tests: Mapping[int, models.Dataset],
    shares: NDArray[np.bool_],
    config: Config,
) -> list[interp.Evidence]:
    """What each kind loses against exact attention: sharing heads, looking no further, keeping sums."""
    exact, longest = found["exact"], max(TIMES)
    near = (tests[1].examples["lag"] < config.window).to_numpy()
    kept = [
        less_than_tolerated(
            f"{kind.capitalize()} attention",
            share(found[kind].right[1], shares),
            share(exact.right[1], shares),
        )
        for kind in ("grouped-query", "multi-query")
    ]
    kept.append(
        less_than_tolerated(
            f"A window, of pairs fewer than {config.window} positions back,",
            share(found["window"].right[1], shares, near),
            share(exact.right[1], shares, near),
        )
    )
    beyond = interp.Evidence(
        "Of pairs beyond its window a network of one layer knows nothing: it guesses among the values.",
        "Beltagy, Peters and Cohan 2020, https://arxiv.org/abs/2004.05150",
        f"share of rows answered rightly whose pair is {config.window} positions back or more",
        share(found["window"].right[1], shares, ~near),
        interp.LiesWithin(1 / VALUES - TOLERATED, 1 / VALUES + TOLERATED),
        {"exact attention": share(exact.right[1], shares, ~near)},
    )
    sums = [
        interp.Evidence(
            f"Linear attention recalls less than exact attention in rows {lengths}.",
            "Katharopoulos et al. 2020, https://arxiv.org/abs/2006.16236",
            "share of rows answered rightly",
            share(found["linear"].right[times], shares),
            interp.BelowControls(),
            {"exact attention": share(exact.right[times], shares)},
        )
        for times, lengths in ((1, "as long as in training"), (longest, f"{longest} times as long"))
    ]
    return [*kept, beyond, *sums]


def less_than_tolerated(who: str, ours: Numbers, exact: Numbers) -> interp.Evidence:
    """Whether a cheaper attention loses at most what is tolerated."""
    return interp.Evidence(
        f"{who} loses less than {TOLERATED:g} of what exact attention recalls.",
        "Ainslie et al. 2023, https://arxiv.org/abs/2305.13245",
        "share of rows answered rightly",
        ours,
        interp.ExceedsControls(margin=-TOLERATED),
        {"exact attention": exact},
    )


def costing(found: Mapping[str, Recalled], seeds: int) -> list[interp.Evidence]:
    """How operations grow when a row gets twice as long, and what sharing heads saves in keeping."""
    evidence = []
    for kind, growth in {"exact": 4, "multi-query": 4, "window": 2, "linear": 2}.items():
        counts = [operations(found[kind].network, length) for length in (COUNTED_AT, 2 * COUNTED_AT)]
        evidence.append(
            interp.Evidence(
                f"Twice as long a sequence takes {kind} attention {growth} times as many operations.",
                SOURCE,
                f"operations at {2 * COUNTED_AT} positions over those at {COUNTED_AT}",
                [counts[1] / counts[0]] * seeds,
                interp.Equals(growth),
            )
        )
    kept = [kept_numbers(found[kind].network, COUNTED_AT) for kind in ("exact", "multi-query")]
    saved = interp.Evidence(
        f"Multi-query attention of {HEADS} heads keeps {HEADS} times fewer keys and values.",
        "Shazeer 2019, https://arxiv.org/abs/1911.02150",
        "numbers kept by exact attention over those kept by multi-query attention",
        [kept[0] / kept[1]] * seeds,
        interp.Equals(HEADS),
    )
    return [*evidence, saved]
