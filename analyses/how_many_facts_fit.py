"""How many facts fit into a transformer, does it take MLPs, and how many bits is that per parameter?

Small transformers of several widths learn more arbitrary facts than they can hold: subjects of two tokens, relations,
and for each an object drawn at random, so that a fact can only be learned by heart. Counted is what is known when all
of it is asked, less what guessing would get: known = facts (share - chance) / (1 - chance), chance = 1 / objects, and a
known fact is worth log2(objects) bits. Each shape is trained at several rates and counted at the best of them.

Attention is compared with MLPs at the same number of parameters: without MLPs a layer gets three times the heads, which
is as many weights (12 d_model^2 either way, to within the biases). The published capacity (Allen-Zhu and Li 2024, about
2 bits per parameter after 1,000 exposures, 1 after 100) is of GPT-2 shapes hundreds of times larger, of biographies in
sentences, and counts what the loss says of every token; it stands beside ours with that difference (T9).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import interp
from analyses.facts.capacity import (
    BITS,
    HEADS,
    OBJECTS,
    RELATIONS,
    Learned,
    Shape,
    asked_facts,
    attention_only,
    learned,
    with_mlps,
)
from analyses.facts.seen import beyond, ends, of_series
from interp.refusals import Refused

if TYPE_CHECKING:
    import pandas as pd

QUESTION = "How many facts fit into a transformer, and does it take MLPs to hold them?"
COURSE = "3Blue1Brown, Deep Learning, chapter 7"
PUBLISHED_EPOCHS = 100
PUBLISHED = "Allen-Zhu and Li 2024, https://arxiv.org/abs/2404.05405"


@dataclass(frozen=True)
class Config:
    """`subjects`: four facts each. `widths`: the d_model of the networks, even numbers, rising. `epochs`: exposures.

    `rates`: learning rates to choose from. `error_rate`: the share of wrong verdicts aimed at among the decided ones.
    """

    seeds: int = 8
    subjects: int = 750
    widths: tuple[int, ...] = (8, 12, 16)
    epochs: int = 100
    rates: tuple[float, ...] = (1e-2, 2e-2)
    error_rate: float = 0.05

    def __post_init__(self) -> None:
        rising = list(self.widths) == sorted(set(self.widths))
        if len(self.widths) < 2 or not rising or any(width < 2 or width % HEADS for width in self.widths):
            raise Refused(
                f"widths are two or more even numbers from 2, each larger than the last; given {self.widths}."
            )
        if not self.rates:
            raise Refused("rates needs at least one learning rate.")

    @staticmethod
    def quick() -> Config:
        """Fewer facts, smaller networks, one rate."""
        return Config(subjects=60, widths=(4, 8), epochs=20, rates=(2e-2,))


def answer(config: Config) -> interp.Report:
    """Trains (or finds) the networks of every shape, counts what they know, judges."""
    begun = time.monotonic()
    data = asked_facts(config.subjects)
    training: dict[str, Any] = {"seeds": config.seeds, "epochs": config.epochs, "rates": config.rates}
    found = {shape: learned(shape, data, **training) for shape in shapes(config)}
    evidence = [*at_all(found, config), *larger(found, config), *mlps(found, config)]
    if config.epochs >= PUBLISHED_EPOCHS:
        evidence.append(capacity(found))
    return interp.Report(
        question=QUESTION,
        analysis="how_many_facts_fit",
        config=config,
        claims=interp.judge(evidence, error_rate=config.error_rate),
        tables={
            "facts": facts_table(found),
            "differences": interp.differences_table(evidence, error_rate=config.error_rate),
        },
        figures=figures(found, config, facts=len(data)),
        notes=notes(found, config, facts=len(data)),
        provenance=interp.gather(
            seeds=range(config.seeds),
            data={data.name: data.digest},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


def shapes(config: Config) -> list[Shape]:
    """With MLPs and attention only at every width; at the largest also fewer neurons, down to none."""
    largest = config.widths[-1]
    pairs = [shape for width in config.widths for shape in (with_mlps(width), attention_only(width))]
    return [*pairs, Shape(largest, largest), Shape(largest, 0)]


def at_all(found: Mapping[Shape, Learned], config: Config) -> list[interp.Evidence]:
    """The networks know facts, more than guessing gets."""
    return [
        interp.Evidence(
            f"Networks of d_model {width} know facts by heart.",
            COURSE,
            "share of all facts answered rightly",
            one.share,
            interp.ExceedsControls(),
            {
                "untrained": one.untrained,
                "facts dealt anew": one.dealt_anew,
                "guessing among the relation's objects": [1 / OBJECTS] * config.seeds,
            },
        )
        for width in config.widths
        for one in [found[with_mlps(width)]]
    ]


def larger(found: Mapping[Shape, Learned], config: Config) -> list[interp.Evidence]:
    """More parameters hold more: wider networks, and more neurons at the same width."""
    largest = config.widths[-1]
    ladder = [Shape(largest, 0), Shape(largest, largest), with_mlps(largest)]
    widths = [with_mlps(width) for width in config.widths]
    steps = [*itertools.pairwise(widths), *itertools.pairwise(ladder)]
    return [
        compared(
            f"More facts fit into {more} than into {fewer}.",
            found[more],
            {f"{found[fewer].parameters:,} parameters": found[fewer]},
        )
        for fewer, more in steps
    ]


def mlps(found: Mapping[Shape, Learned], config: Config) -> list[interp.Evidence]:
    """MLPs against attention alone, with as many parameters."""
    return [
        compared(
            f"At d_model {width}, met {config.epochs} times, more facts fit into a network with MLPs than into one of "
            "attention only with as many parameters.",
            found[with_mlps(width)],
            {"attention only, as many parameters": found[attention_only(width)]},
        )
        for width in config.widths
    ]


def compared(statement: str, one: Learned, others: Mapping[str, Learned]) -> interp.Evidence:
    """One shape's facts known against another's, seed by seed."""
    return interp.Evidence(
        statement,
        COURSE,
        "facts known beyond guessing",
        one.known,
        interp.ExceedsControls(),
        {name: other.known for name, other in others.items()},
    )


def capacity(found: Mapping[Shape, Learned]) -> interp.Evidence:
    """Bits per parameter of the shape that has most, against the published figures."""
    best = densest(found)
    return interp.Evidence(
        "Where most fit for their size, networks hold between 1 and 2 bits of facts per parameter (published for 100 "
        "and for 1,000 exposures).",
        PUBLISHED,
        f"bits of known facts per parameter, {best.shape}",
        best.per_parameter,
        interp.LiesWithin(1.0, 2.0),
    )


def densest(found: Mapping[Shape, Learned]) -> Learned:
    """The shape with the most bits per parameter."""
    return max(found.values(), key=lambda one: float(one.per_parameter.mean()))


def facts_table(found: Mapping[Shape, Learned]) -> pd.DataFrame:
    """Every number behind the claims, a row for each shape and seed."""
    import pandas as pd

    parts = [
        pd.DataFrame(
            {
                "d_model": one.shape.width,
                "heads": one.shape.heads,
                "d_mlp": one.shape.neurons,
                "parameters": one.parameters,
                "rate": one.rate,
                "seed": range(len(one.share)),
                "share_known": one.share,
                "facts_known": one.known,
                "bits_per_parameter": one.per_parameter,
                "coded_bits_per_parameter": one.coded / one.parameters,
                "share_untrained": one.untrained,
                "share_dealt_anew": one.dealt_anew,
            }
        )
        for one in found.values()
    ]
    whole = pd.concat(parts, ignore_index=True)
    whole.attrs["caption"] = "What each network holds; coded bits are what it saves in naming all objects"
    return whole


def figures(found: Mapping[Shape, Learned], config: Config, *, facts: int) -> dict[str, Any]:
    """Facts against parameters, facts against neurons, bits per parameter."""
    kinds = {"with MLPs": with_mlps, "attention only": attention_only}
    rows = {name: [found[shape(width)] for width in config.widths] for name, shape in kinds.items()}
    largest = config.widths[-1]
    neurons = [found[Shape(largest, count)] for count in (0, largest, 4 * largest)]
    known = {name: np.stack([one.known for one in row], axis=1) for name, row in rows.items()}
    parameters = [one.parameters for one in rows["with MLPs"]]
    by_neurons = {f"d_model {largest}": np.stack([one.known for one in neurons], axis=1)}
    counts = [one.shape.neurons for one in neurons]
    return {
        "parameters": interp.curves(
            known,
            np.array(parameters),
            labels=("parameters", "facts known"),
            caption=f"Facts known beyond guessing, of {facts:,}, against parameters: mean and range over seeds, for "
            f"d_model {', '.join(map(str, config.widths))}. "
            + ends(known, parameters, measure="facts known", step="parameter"),
        ),
        "neurons": interp.curves(
            by_neurons,
            np.array(counts),
            labels=("neurons a layer (d_mlp)", "facts known"),
            caption=f"Facts known against neurons, at d_model {largest}, {HEADS} heads: mean and range over seeds. "
            f"More neurons are more parameters. {ends(by_neurons, counts, measure='facts known', step='neuron')}",
        ),
        "bits": bits_figure([spot(one, name) for name, row in rows.items() for one in row], config),
    }


def bits_figure(spots: list[interp.Spot], config: Config) -> Any:
    """Bits per parameter; beside them the published figures where these networks met the facts as often."""
    lines = {"published, 1,000 exposures": 2.0, "published, 100 exposures": 1.0}
    compared = config.epochs >= PUBLISHED_EPOCHS
    beside = (
        f" The lines are the published capacity of much larger networks. {beyond(spots, 1.0, called='the lower line')}"
        if compared
        else ""
    )
    return interp.interval_plot(
        spots,
        measure="bits per parameter",
        caption=f"Bits of known facts per parameter. Intervals over seeds. {of_series(spots)}{beside}",
        lines=lines if compared else {},
        ordered=True,
    )


def spot(one: Learned, series: str) -> interp.Spot:
    """Bits per parameter of one shape, as a dot of a figure."""
    return interp.Spot.over_seeds(f"d_model {one.shape.width}", series, one.per_parameter)


def notes(found: Mapping[Shape, Learned], config: Config, *, facts: int) -> list[str]:
    """What a reader must know to weigh the verdicts."""
    best = densest(found)
    unequal = [
        abs(found[attention_only(width)].parameters / found[with_mlps(width)].parameters - 1)
        for width in config.widths
    ]
    full = [str(one.shape) for one in found.values() if one.share.mean() > 0.95]
    said = [
        f"{facts:,} facts, {RELATIONS} relations with {OBJECTS} objects each: {BITS:.2f} bits a fact, "
        f"{facts * BITS:,.0f} bits altogether. Each is met {config.epochs} times, in one template.",
        f"Networks compared at the same size differ by at most {100 * max(unequal):.1f} % in their parameters, "
        "embeddings and unembedding counted in.",
        f"Each shape is counted at the best of the rates {', '.join(f'{rate:g}' for rate in config.rates)}, chosen by "
        "the mean over the seeds that are counted; other schedules, initialisations or longer training may hold more.",
        f"Most per parameter hold networks of {best.shape}: {best.per_parameter.mean():.2f} bits by facts known, "
        f"{(best.coded / best.parameters).mean():.2f} by what they save in naming all objects (their loss; the "
        "published figures are counted in that way).",
        "The published figures are of GPT-2 shapes from about a million parameters, trained on biographies in "
        "sentences; most of the parameters here are embeddings, and the networks are asked for more facts than fit.",
        "That attention alone holds facts does not say where a network that has both keeps them.",
    ]
    if config.epochs < PUBLISHED_EPOCHS:
        said.append(
            f"Left out: the comparison with the published bits per parameter, of {PUBLISHED_EPOCHS} exposures "
            "or more: run without --quick."
        )
    if full:
        said.append(
            f"Nearly all facts are known by {'; '.join(full)}: there the count is no capacity but a bound."
        )
    return said
