"""Do images need convolutions? A convolutional network, an MLP and a vision transformer of equal size, on digits (D15).

The three have nearly equally many parameters (`image_networks.py`; counted, and a claim of its own) and train on the
same images, each in the middle of a blank frame. They are judged on test images in the middle, and on the same images
shifted within the frame, which no training showed them. The control: the pixels of all images in another order, the
same for all. An MLP cannot notice; for the others neighbours are then no neighbours, and what convolutions gain because
images are images should vanish. The learning rate of each network and order of pixels is the best of a grid on the
`probe` split; each seed is judged on its own share of the test images, all networks of that seed on the same.

When it misleads: equal parameters are not equal computation (a convolution uses each weight at every place); and a
network that pools its maps, or was trained on shifted images, would bear shifts otherwise than this one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import interp
import models
from analyses.images.judging import (
    CENTRED,
    SAME,
    SHIFTED,
    SHUFFLED,
    Images,
    Outcomes,
    PerSeed,
    best_of_rates,
    common_seeds,
    in_a_frame,
    judged,
    on_own_shares,
)
from analyses.images.networks import CNN, DENSE, VIT, networks, parameters

if TYPE_CHECKING:
    import pandas as pd

QUESTION = "Do images need convolutions?"
SOURCE = "3Blue1Brown, Deep Learning, chapter 1; LeCun et al. 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-01a.pdf"
SHIFTS = {"digits": 2, "mnist": 4}
EPOCHS = {"digits": 20, "mnist": 5}
NOT_AHEAD = 0.01


@dataclass(frozen=True)
class Config:
    """`data`: digits (bundled, 8x8) or mnist. `seeds`: networks of each kind. `images`: training images at most.

    `epochs`, and `shift`, by how many pixels images are shifted at most: as suits the data, where not given. `rates`:
    learning rates to choose from. `error_rate`: the share of wrong verdicts aimed at among the decided ones.
    """

    data: Literal["digits", "mnist"] = "digits"
    seeds: int = 8
    images: int = 5_000
    epochs: int | None = None
    shift: int | None = None
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    error_rate: float = 0.05

    @staticmethod
    def quick() -> Config:
        """Shorter training at one rate."""
        return Config(epochs=15, rates=(3e-3,))


def answer(config: Config) -> interp.Report:
    """Trains (or finds) the networks, judges them on both kinds of test images, compares."""
    begun = time.monotonic()
    shift = SHIFTS[config.data] if config.shift is None else config.shift
    epochs = EPOCHS[config.data] if config.epochs is None else config.epochs
    images = in_a_frame(models.load_data(config.data), shift, training=config.images)
    kinds = networks(images.centred.image_shape or (0, 0), images.centred.classes)
    orders = {SAME: images, SHUFFLED: images.shuffled()}
    outcomes = {
        (name, order): best_of_rates(
            network, moved.centred, rates=config.rates, epochs=epochs, seeds=config.seeds
        )
        for order, moved in orders.items()
        for name, network in kinds.items()
    }
    seeds = common_seeds(outcomes)
    right = judged(outcomes, orders, seeds)
    accuracy = on_own_shares(right)
    evidence = [*equal(kinds), *better(accuracy), *because_of_neighbours(accuracy)]
    return interp.Report(
        question=QUESTION,
        analysis="do_images_need_convolutions",
        config=config,
        claims=interp.judge(evidence, error_rate=config.error_rate),
        tables=tables(kinds, outcomes, seeds, accuracy)
        | {"differences": interp.differences_table(evidence, error_rate=config.error_rate)},
        figures=figures(images, accuracy, right),
        notes=notes(config, images, outcomes),
        provenance=interp.gather(
            seeds=seeds,
            data={data.name: data.digest for moved in orders.values() for data in moved},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


def equal(kinds: Mapping[str, Any]) -> list[interp.Evidence]:
    """That the comparison is one of equals."""
    counts = [parameters(network) for network in kinds.values()]
    return [
        interp.Evidence(
            "The three networks have equally many parameters, to 5 %.",
            "stated here",
            "the largest number of weights and biases over the smallest",
            [max(counts) / min(counts)],
            interp.LiesWithin(1.0, 1.05, of="best"),
        )
    ]


def better(accuracy: PerSeed) -> list[interp.Evidence]:
    """D15: more digits right, in the middle of the frame and shifted."""
    which = {CENTRED: "", SHIFTED: " that are shifted as no training image was"}
    return [
        interp.Evidence(
            f"A convolutional network names more digits{words} rightly than {article(other)} of as many parameters.",
            SOURCE,
            "test accuracy",
            accuracy[CNN, SAME, place],
            interp.ExceedsControls(),
            {other: accuracy[other, SAME, place]},
        )
        for place, words in which.items()
        for other in (DENSE, VIT)
    ]


def because_of_neighbours(accuracy: PerSeed) -> list[interp.Evidence]:
    """The control: what convolutions gain on an MLP, and what is left of it when neighbours are no neighbours."""
    evidence = []
    for place in (CENTRED, SHIFTED):
        gain, left = (
            accuracy[CNN, order, place] - accuracy[DENSE, order, place] for order in (SAME, SHUFFLED)
        )
        measure = f"test accuracy beyond an MLP's, digits {place}"
        evidence += [
            interp.Evidence(
                f"A convolutional network is further ahead of an MLP where neighbouring pixels are neighbours (digits "
                f"{place}).",
                SOURCE,
                measure,
                gain,
                interp.ExceedsControls(),
                {"pixels shuffled": left},
            ),
            interp.Evidence(
                f"With shuffled pixels a convolutional network is at most {NOT_AHEAD:.2f} ahead of an MLP (digits "
                f"{place}).",
                SOURCE,
                measure + ", pixels shuffled",
                left,
                interp.LiesWithin(-1.0, NOT_AHEAD),
                {"pixels as they are": gain},
            ),
        ]
    return evidence


def tables(
    kinds: Mapping[str, Any], outcomes: Outcomes, seeds: tuple[int, ...], accuracy: PerSeed
) -> dict[str, pd.DataFrame]:
    """Every number behind the claims, and how the networks and their rates were chosen."""
    import pandas as pd

    sizes = [{"network": n, "parameters": parameters(c), "config": str(c)} for n, c in kinds.items()]
    rates = [
        {
            "network": name,
            "pixels": order,
            "rate": rate,
            "probe_accuracy": found,
            "chosen": rate == outcome.rate,
        }
        for (name, order), outcome in outcomes.items()
        for rate, found in outcome.by_rate.items()
    ]
    rows = [
        {"seed": seed, "network": name, "pixels": order, "digits": place, "accuracy": float(value)}
        for (name, order, place), values in accuracy.items()
        for seed, value in zip(seeds, values, strict=True)
    ]
    return {"networks": pd.DataFrame(sizes), "rates": pd.DataFrame(rates), "accuracy": pd.DataFrame(rows)}


def figures(images: Images, accuracy: PerSeed, right: PerSeed) -> dict[str, Any]:
    """What is asked, how well it is answered, and how far a shift may go."""
    chance = 1 / images.centred.classes
    spots = [
        interp.Spot.over_seeds(name, f"{place}, pixels {order}", values)
        for (name, order, place), values in accuracy.items()
    ]
    distances, curves = by_distance(images.shifted.test, right)
    return {
        "accuracy": interp.interval_plot(
            spots,
            measure="test accuracy",
            caption="How many test digits networks of one size name rightly. None was trained on shifted images. "
            "Intervals over seeds, each on its own share of the test images.",
            lines={"chance": chance},
        ),
        "distance": interp.curves(
            curves,
            distances,
            labels=("pixels by which the digit is shifted, the larger of both directions", "test accuracy"),
            caption="How accuracy falls with the distance of the shift: mean and range over seeds, all test images.",
            chance=chance,
        ),
        "images": examples(images),
    }


def by_distance(shifted: models.Dataset, right: PerSeed) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Accuracy `[seed, distance]` of each network, on all test images in the middle (0) and moved so far."""
    moved = shifted.examples[["shift_down", "shift_right"]].abs().max(axis=1).to_numpy()
    distances = np.array(sorted({0, *moved.tolist()}))
    shown = {name: (name, SAME) for name in (CNN, DENSE, VIT)} | {f"{CNN}, pixels shuffled": (CNN, SHUFFLED)}
    curves = {}
    for title, key in shown.items():
        in_the_middle, elsewhere = right[*key, CENTRED].mean(-1), right[*key, SHIFTED]
        falls = [elsewhere[:, moved == distance].mean(-1) for distance in distances[1:]]
        curves[title] = np.stack([in_the_middle, *falls], axis=1)
    return distances, curves


def examples(images: Images, count: int = 4) -> Any:
    """The first test digits in the middle, shifted, and with shuffled pixels, as a figure."""
    rows = {CENTRED: images.centred, SHIFTED: images.shifted, "pixels shuffled": images.shuffled().centred}
    digits = images.centred.test.targets[:count].tolist()
    return interp.images_grid(
        np.concatenate([data.test.images[:count].numpy() for data in rows.values()]),
        titles=[f"{digit}, {place}" for place in rows for digit in digits],
        caption=f"{count} test digits: in the middle, as networks were trained; shifted; with shuffled pixels.",
        columns=count,
    )


def article(network: str) -> str:
    """`MLP` as "an MLP"."""
    return f"{'an' if network == DENSE else 'a'} {network}"


def notes(config: Config, images: Images, outcomes: Outcomes) -> list[str]:
    """What a reader must know to weigh the verdicts."""
    shift = int(images.shifted.examples["shift_down"].max())
    side = (images.centred.image_shape or (0, 0))[0]
    said = [
        f"{len(images.centred.network):,} training images, each in the middle of {side}x{side} pixels; test images are "
        f"shifted by up to {shift} pixels either way, each place as likely. No network was trained on shifted images.",
        "Shuffled pixels are in one other order, the same for all images of this report: what holds of this order need "
        "not hold of every other, though an MLP cannot tell any of them apart.",
        "Equal parameters are not equal computation: a convolution uses each weight at every place.",
        "Every seed is judged on its own share of the test images, all networks of a seed on the same share.",
    ]
    if len(config.rates) > 1:
        said.append(
            "The rate of each network and order of pixels is the best of the grid on the probe split."
        )
    return said + [
        f"{name}, pixels {order}: seed {gone.seed} diverged at step {gone.step} and is left out of every comparison."
        for (name, order), outcome in outcomes.items()
        for gone in outcome.trained.divergences
    ]
