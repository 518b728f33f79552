"""A report of made-up numbers that uses every part: all verdicts, all figures, tables short and long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from interp.reporting.claims import Claims, Evidence, judge
from interp.reporting.drawing import Figure
from interp.reporting.figures import Spot, curves, images_grid, interval_plot
from interp.reporting.provenance import gather
from interp.reporting.report import Report
from interp.reporting.rules import BelowControls, Equals, ExceedsControls, LiesWithin

HOOKS = ("layers.0.hook_post", "layers.1.hook_post", "hook_logits")


@dataclass(frozen=True)
class DemoConfig:
    """Stands for an analysis's config."""

    data: str = "digits"
    seeds: int = 8
    hidden: tuple[int, ...] = (16, 16)


def around(centre: float, *, spread: float = 0.01, seed: int = 0, seeds: int = 8) -> tuple[float, ...]:
    """Made-up numbers, one per seed."""
    return tuple((centre + spread * np.random.default_rng(seed).standard_normal(seeds)).tolist())


def demo_evidence() -> list[Evidence]:
    """One statement of each kind and of each verdict."""
    read = "linear probe at layers.1.hook_post, test accuracy"
    controls = {
        "untrained": around(0.61, seed=1, spread=0.03),
        "shuffled_labels": around(0.11, seed=2),
        "random_label_per_type": around(0.35, seed=3, spread=0.02),
    }
    return [
        Evidence(
            statement="A digit can be read off the second hidden layer",
            source="3Blue1Brown, Deep Learning, chapter 1",
            measure=read,
            values=around(0.93),
            controls=controls,
            rule=ExceedsControls(margin=0.02),
        ),
        Evidence(
            statement="The second hidden layer separates digits better than the pixels do",
            source="3Blue1Brown, Deep Learning, chapter 1",
            measure="linear probe at layers.1.hook_post against raw pixels, test accuracy",
            values=around(0.93),
            controls={"raw_input": (0.955,) * 8},
            rule=ExceedsControls(),
        ),
        Evidence(
            statement="Removing the probe's directions hurts more than removing random ones",
            source="DESIGN: where it can be decoded and whether it is used are two claims",
            measure="test accuracy after the directions are projected out",
            values=around(0.52, spread=0.2, seed=4),
            controls={"random_directions": around(0.6, spread=0.2, seed=5)},
            rule=BelowControls(),
        ),
        Evidence(
            statement="The network 784-16-16-10 has 13,002 parameters",
            source="3Blue1Brown, Deep Learning, chapter 1",
            measure="exact count",
            values=(13002,) * 8,
            rule=Equals(13002),
        ),
        Evidence(
            statement="The best of the seeds reaches the published accuracy of 95.42 %",
            source="Nielsen, Neural Networks and Deep Learning, chapter 1 (2015)",
            measure="test accuracy, best of the seeds",
            values=around(0.951, spread=0.002, seed=6),
            rule=LiesWithin(0.944, 0.957, of="best"),
        ),
    ]


@pytest.fixture(scope="session")
def claims() -> Claims:
    return judge(demo_evidence())


@pytest.fixture(scope="session")
def demo_figures() -> dict[str, Figure]:
    random = np.random.default_rng(0)
    centres = {
        "trained": (0.9, 0.93, 0.92),
        "untrained": (0.71, 0.61, 0.4),
        "random_label_per_type": (0.3, 0.35, 0.33),
        "shuffled_labels": (0.1, 0.11, 0.1),
    }
    spots = [
        Spot(place=hook, series=name, estimate=centre, interval=(centre - 0.02, centre + 0.015))
        for name, values in centres.items()
        for hook, centre in zip(HOOKS, values, strict=True)
    ]
    steps = np.arange(1, 31)
    learning = 0.93 - 0.7 * np.exp(-steps / 6) + 0.01 * random.standard_normal((8, 30))
    failing = 0.1 + 0.01 * random.standard_normal((8, 30))
    rows, columns = np.mgrid[:28, :28]
    images = np.stack([np.exp(-(((rows - 14) ** 2 + (columns - 3 * i) ** 2) / 40)) for i in range(10)])
    return {
        "where": interval_plot(
            spots,
            measure="test accuracy of a linear probe",
            caption="Where a digit can be read, with 95 % intervals over 8 seeds.",
            lines={"raw_input": 0.955, "chance": 0.1},
        ),
        "learning": curves(
            {"rate 3": learning, "rate 100": failing},
            steps,
            labels=("epoch", "test accuracy"),
            caption="Test accuracy while training: mean, and range of 8 seeds.",
            chance=0.1,
        ),
        "weights": images_grid(
            images - images.mean(),
            titles=[f"neuron {i}" for i in range(10)],
            caption="What ten neurons of the first layer weigh.",
            columns=5,
            signed=True,
        ),
    }


@pytest.fixture(scope="session")
def demo_tables() -> dict[str, pd.DataFrame]:
    random = np.random.default_rng(1)
    short = pd.DataFrame(
        {"hook": HOOKS, "accuracy": [0.9012345678, 0.93, 0.92], "selectivity": [0.6, 0.58, None]}
    )
    short["selectivity"] = short["selectivity"].astype("Float64")
    short.attrs["caption"] = "Probes by hook, mean over seeds"
    long = pd.DataFrame(
        [
            {"seed": seed, "hook": hook, "control": control, "accuracy": float(random.uniform(0.1, 1))}
            for seed in range(8)
            for hook in HOOKS
            for control in ("trained", "untrained", "shuffled labels")
        ]
    )
    return {"probes": short, "every_seed": long}


@pytest.fixture(scope="session")
def report(claims: Claims, demo_figures: dict[str, Figure], demo_tables: dict[str, pd.DataFrame]) -> Report:
    return Report(
        question="Where in a small network can a handwritten digit be read?",
        analysis="where_are_digits",
        config=DemoConfig(),
        claims=claims,
        tables=demo_tables,
        figures=demo_figures,
        notes=[
            "Loops and strokes were left out: the bundled digits are too coarse (8 by 8 pixels) to "
            "measure them."
        ],
        provenance=gather(seeds=range(8), data={"digits": "sha256:0f3a"}, run_time_seconds=12.3456),
    )
