"""What does attention move: who looks at whom, does the pattern find and the value move, and does it take two layers?

Transformers of attention alone, of two layers and of one, learn rows that show a block of tokens and then runs of it
from random places; the length of the block is drawn for each row, too. So no fixed distance finds what comes next.
(Nor does counting: where a block is only repeated, `--data repeats`, the next token is the one not seen for longest,
so that it can be found without looking for the token.) Then

- who looks at whom (T3): weights above the diagonal, and logits after a later token was changed, beside the same
  weights without the mask; and what the output loses with the place a head looks at most, beside as much
  weight elsewhere;
- query and key find, value moves (T4): pairs of rows that differ in what is asked, where it stands, or what it is
  (induction_rows.py). Patterns, queries, keys and values of one are patched into the other, each apart, and the rise of
  the other's answer is measured at the end of the row;
- two layers make induction heads (T5): accuracy, prefix matching, copying and ablation, beside networks of one layer.

Heads are chosen on other rows than they are judged on. With stories260K, a trained language model, the same is asked as
far as it can be. Patches may place a network where it never was in training.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import interp
from analyses.attention.induction_heads import deeper, in_stories
from analyses.attention.looking import looking
from analyses.attention.moving import moving, moving_between_texts
from analyses.attention.subjects import HEADS, Found, Subject, pretrained, trained_here
from interp.refusals import Refused

if TYPE_CHECKING:
    import models

QUESTION = (
    "What does attention move: who looks at whom, what finds and what moves, and does it take two layers?"
)

KINDS = {
    "runs": "after the block come runs of 2 to 5 of its tokens from random places, and the next token inside a run is "
    "asked.",
    "repeats": "the block is repeated, and asked is wherever a token has been seen before. There the next token is "
    "also the one that has not been seen for longest, so that a network may count instead of looking.",
}


@dataclass(frozen=True)
class Config:
    """`data`: networks trained here on runs or repeats of a block, or stories260K (which is not trained).

    `seeds`: networks; of stories260K draws of rows. `length`, `vocabulary`: of the rows; `rows`: to train on; `epochs`;
    `judged`: test rows, shared out to the seeds.
    `error_rate`: the share of wrong verdicts aimed at among the decided ones.
    """

    data: Literal["runs", "repeats", "stories260K"] = "runs"
    seeds: int = 8
    length: int = 30
    vocabulary: int = 24
    rows: int = 4_000
    epochs: int = 12
    judged: int = 800
    error_rate: float = 0.05

    def __post_init__(self) -> None:
        if self.length < 20 or self.vocabulary <= 2 * self.length // 5:
            raise Refused(
                "Rows are 20 tokens or longer, of a vocabulary larger than two fifths of that; given length "
                f"{self.length} and vocabulary {self.vocabulary}."
            )
        if self.seeds < 1 or self.judged < self.seeds:
            raise Refused(
                f"seeds is 1 or more and each has test rows of its own; given {self.seeds} seeds, {self.judged} rows."
            )

    @staticmethod
    def quick() -> Config:
        """Shorter rows, fewer of them."""
        return Config(length=20, vocabulary=16, rows=1_200, epochs=10, judged=400)


def answer(config: Config) -> interp.Report:
    """Trains (or finds) the networks, watches, patches, ablates, judges."""
    begun = time.monotonic()
    parts, subject, said = of_stories(config) if config.data == "stories260K" else of_networks(config)
    evidence = [one for part in parts for one in part.evidence]
    return interp.Report(
        question=QUESTION,
        analysis="what_does_attention_move",
        config=config,
        claims=interp.judge(evidence, error_rate=config.error_rate, unit=unit_of(config)),
        tables={name: table for part in parts for name, table in part.tables.items()}
        | {"differences": interp.differences_table(evidence, error_rate=config.error_rate)},
        figures={name: figure for part in parts for name, figure in part.figures.items()},
        notes=[*said, *(note for part in parts for note in part.notes)],
        provenance=interp.gather(
            seeds=range(len(subject.shares)),
            data={subject.rows.name: subject.rows.digest},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


def unit_of(config: Config) -> str:
    """What each number is one of: a network of its own seed, or a draw of rows for the one network."""
    return "draw" if config.data == "stories260K" else "seed"


def of_networks(config: Config) -> tuple[list[Found], Subject, list[str]]:
    """Everything, of networks trained here."""
    subject, one, runs = trained_here(
        config.data,
        seeds=config.seeds,
        length=config.length,
        vocabulary=config.vocabulary,
        rows=config.rows,
        epochs=config.epochs,
        judged=config.judged,
    )
    parts = [looking(subject), moving(subject, layer=1), deeper(subject, one)]
    return parts, subject, notes_on_networks(config, runs)


def of_stories(config: Config) -> tuple[list[Found], Subject, list[str]]:
    """What can be asked of one network that was trained elsewhere."""
    subject = pretrained(draws=config.seeds, length=config.length, judged=config.judged)
    return (
        [looking(subject), moving_between_texts(subject), in_stories(subject)],
        subject,
        notes_on_stories(config),
    )


def notes_on_networks(config: Config, runs: list[models.Trained]) -> list[str]:
    """What a reader must know to weigh the verdicts."""
    counts = [sum(w.numel() for w in run.model.parameters()) // len(run.model.every_seed) for run in runs]
    shortest, longest = config.length // 5, 2 * config.length // 5
    gone = {(d.seed, d.step) for run in runs for d in run.divergences}
    return [
        f"Rows of {config.length} tokens, blocks of {shortest} to {longest} different ones of {config.vocabulary}, "
        f"drawn for each row; {KINDS[config.data]}",
        f"Two layers of {HEADS} heads have {counts[0]:,} parameters, one layer {counts[1]:,}, one layer with twice the "
        f"heads {counts[2]:,}; all were trained alike ({config.epochs} epochs of {config.rows:,} rows).",
        "That these networks of one layer do not learn it does not say that none could: other widths, positions or "
        "longer training were not tried. A guess from position alone is the best fixed distance back at each position.",
        "Every seed is judged on its own share of the test rows. Heads are chosen on other rows.",
        "Patched rows differ in one respect each; heads of layer 1 are patched together, so what is said of queries, "
        "keys, values and patterns is said of the layer. In layer 0 the value carries the place: it moves which token "
        "stood before, and layer 1 reads that as its key.",
        "Several heads may do the same, so that the loss of one is a lower bound of what it does.",
        *(f"Seed {seed} diverged at step {step} and is left out." for seed, step in sorted(gone)),
    ]


def notes_on_stories(config: Config) -> list[str]:
    """What a reader must know, and what is left out."""
    return [
        "stories260K is one network: its seeds are draws of rows and stories, and intervals say nothing of other "
        "networks. Untrained stands for the same weights in shuffled order.",
        f"Its texts are beginnings of {config.length} tokens of stories that it draws itself at temperature 1; rows of "
        "random word pieces are nothing it has ever read.",
        "Left out: that two layers make induction heads and one cannot, and which part carries the question, the place "
        "and the content, which need networks trained on such rows: run with --data runs.",
        "Texts of a pair differ in everything, so values and patterns of one are patched whole, of all layers at once.",
    ]
