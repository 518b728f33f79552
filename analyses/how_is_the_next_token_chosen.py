"""How is the next token chosen: from which vector, when in the network, and what does temperature do?

Small transformers learn names by character. Then

- the last vector, normalised, times the unembedding is compared with the logits, and put in place of another text's;
  training on every position is compared with training on one, and the gradients of both exactly (T6);
- what enters each layer is read by the logit lens and by the tuned lens, against the network's own last word (T6);
- logits are divided by temperatures, and texts are drawn at some of them (T7).

Each seed is judged on its own share of new names. With stories260K, a trained language model, the same is asked of
stories that it drew itself, except for training.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import interp
from analyses.tokens.last_vectors import each_position, last_vector
from analyses.tokens.layer_lenses import Lenses, lens_figures, lens_table, through_layers
from analyses.tokens.readers import Readers, names, story_readers, trained_readers
from analyses.tokens.temperatures import softened, temperature_figures, temperature_table
from interp.refusals import Refused

if TYPE_CHECKING:
    import models

QUESTION = (
    "How is the next token chosen: by which vector, at which layer, and how does temperature change it?"
)


@dataclass(frozen=True)
class Config:
    """`data`: places (bundled), names (first names, a file) or stories260K (trained elsewhere; `epochs` is not used).

    `seeds`: networks; of stories260K draws of texts. `rows`: texts to train on, at most, and to fit lenses on. `steps`:
    of training for the tuned lens. `error_rate`: the share of wrong verdicts aimed at among the decided ones.
    """

    data: Literal["places", "names", "stories260K"] = "places"
    seeds: int = 8
    rows: int = 2_000
    epochs: int = 8
    steps: int = 300
    error_rate: float = 0.05

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.rows < 20:
            raise Refused(f"seeds is 1 or more, rows 20 or more; given {self.seeds} and {self.rows}.")

    @staticmethod
    def quick() -> Config:
        """Shorter training of networks and lenses."""
        return Config(epochs=5, steps=80)


def answer(config: Config) -> interp.Report:
    """Trains (or finds) the networks, reads them off, draws from them, judges."""
    begun = time.monotonic()
    evidence, readers, said = of_stories(config) if config.data == "stories260K" else of_names(config)
    lenses = Lenses(readers, steps=config.steps)
    soft, found = softened(readers)
    evidence = [*evidence, *through_layers(lenses), *soft]
    return interp.Report(
        question=QUESTION,
        analysis="how_is_the_next_token_chosen",
        config=config,
        claims=interp.judge(evidence, error_rate=config.error_rate, unit=unit_of(config)),
        tables={
            "lenses": lens_table(lenses),
            "temperatures": temperature_table(found),
            "differences": interp.differences_table(evidence, error_rate=config.error_rate),
        },
        figures={**lens_figures(lenses), **temperature_figures(found)},
        notes=said,
        provenance=interp.gather(
            seeds=range(readers.units),
            data={readers.data.name: readers.data.digest},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


def unit_of(config: Config) -> str:
    """What each number is one of: a network of its own seed, or a draw of texts from the one network."""
    return "text draw" if config.data == "stories260K" else "seed"


def of_names(config: Config) -> tuple[list[interp.Evidence], Readers, list[str]]:
    """What is asked of networks trained here only, and of all."""
    data = names(config.data, rows=config.rows)
    readers, once, runs = trained_readers(data, seeds=config.seeds, epochs=config.epochs)
    return [*last_vector(readers), *each_position(readers, once)], readers, notes_on_names(config, data, runs)


def of_stories(config: Config) -> tuple[list[interp.Evidence], Readers, list[str]]:
    """What can be asked of one network that was trained elsewhere."""
    readers = story_readers(draws=config.seeds, rows=config.rows)
    return last_vector(readers), readers, notes_on_stories(config)


def notes_on_names(config: Config, data: models.Dataset, runs: list[models.Trained]) -> list[str]:
    """What a reader must know to weigh the verdicts."""
    counts = data.split_counts()
    losses = [run.metrics.groupby("epoch")["test_loss"].mean() for run in runs]
    best = [int(loss.to_numpy().argmin()) for loss in losses]
    return [
        f"{counts['network']:,} names train the networks, {counts['test']:,} others judge them; each is read up to 16 "
        "characters. Lenses are fitted on the names trained on, and read the first 8 characters of names that have "
        "them.",
        f"Networks are trained for {config.epochs} epochs; on new names the loss was lowest after {best[0]}, of "
        f"those trained on one position of each name after {best[1]}. With other lengths of training "
        "the distance is another.",
        "Trained on one position: each name is cut off at one place, drawn once, and the next character is asked "
        "there.",
        "Every seed is judged on its own share of the names. Two names that begin alike are not independent.",
        "The logit lens reads a layer in the last layer's basis; that the tuned lens reads more may be the "
        "translator's own work.",
        "That entropy rises and the likeliest token's share falls with temperature holds of any logits that differ.",
        "Bundled are names of countries and capitals; --data names takes first names, of which there are more.",
    ]


def notes_on_stories(config: Config) -> list[str]:
    """What a reader must know, and what is left out."""
    return [
        "stories260K is one network: its seeds are draws of texts, and intervals say nothing of other networks.",
        "Its texts are beginnings of stories that it drew itself at temperature 1, so that on them temperature 1 is "
        "the true one by making, and a low surprisal is no sign that it knows stories.",
        f"Lenses are fitted on {config.rows:,} of these texts and read on others.",
        "Left out: that every position of a text is a training example, which needs networks trained here: run with "
        "--data places.",
        "That entropy rises and the likeliest token's share falls with temperature holds of any logits that differ.",
    ]
