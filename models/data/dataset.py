"""A data set: inputs, targets, and a table of what is known of each example, in three splits.

Row i of `inputs`, `targets` and `examples` is one example. The table's column `split` says which part each
example belongs to: `network` (trains networks), `probe` (trains what reads them), `test` (judges both). An input is a
vector, the same length for all, a sequence of such vectors, all equally long, or a sequence of tokens, padded on the
right to the length of the longest.
Nobody changes a data set in place: trained networks are cached by its `digest`, which is computed once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from numpy.typing import ArrayLike
from torch import Tensor

from models.data.digest import digest
from models.data.splits import SPLITS
from models.data.tokenizers import Tokenizer
from models.data.validation import (
    check_examples,
    check_inputs,
    check_lengths,
    check_pairs,
    check_selection,
    check_targets,
)
from models.refusals import Refused


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Examples with their targets and all that is known of them; see the module's first lines.

    `inputs` [example, feature] are floats, for images the pixels row by row from 0 (paper) to 1 (ink).
    `targets` are class numbers (int64 [example], from 0 to `classes` - 1) or numbers to predict (float
    [example, output], `classes` = 0). `examples` has a row per example, index 0, 1, 2, ... `image_shape` is
    (rows, columns) when an input is an image. `source` says where the data come from, for reports.

    Token sequences are int64 [example, pos] with `mask`, True at real tokens and False at padding; then the
    target is a token, `classes` counts the vocabulary, `tokenizer` spells it, and the column `answer_pos` says at
    which position the target is predicted (the last real one in `models.data.facts`). Or the targets are int64
    [example, pos], what is predicted at each position, and -1 where nothing is asked.

    Sequences of numbers are float32 [example, pos, feature]; their target is due after the last position.

    Token pairs are a source and a target side by side: the first `source_positions` of `inputs` are the source, padded
    at its end, those behind it the target so far, with tokens numbered on their own. `targets` are int64
    [example, target_pos]: what comes after each position of the target.

    Raises `Refused`, with the figures, for unequal lengths, NaN or infinite inputs, unknown splits, targets
    outside the classes, no example at all.
    """

    name: str
    inputs: (
        Float[Tensor, "example feature"] | Float[Tensor, "example pos feature"] | Int64[Tensor, "example pos"]
    )
    targets: Int64[Tensor, " example"] | Int64[Tensor, "example target_pos"] | Float[Tensor, "example output"]
    examples: pd.DataFrame
    image_shape: tuple[int, int] | None
    classes: int
    source: str
    mask: Bool[Tensor, "example pos"] | None = None
    tokenizer: Tokenizer | None = None
    source_positions: int = 0

    def __post_init__(self) -> None:
        if self.mask is None:
            check_inputs(self.inputs, self.image_shape)
        else:
            check_pairs(self.inputs, self.mask, self.targets, source_positions=self.source_positions)
        check_lengths(self.name, inputs=self.inputs, targets=self.targets, examples=self.examples)
        check_targets(self.targets, self.classes)
        check_examples(self.examples)
        object.__setattr__(self, "examples", self.examples.copy())

    @classmethod
    def from_arrays(
        cls,
        inputs: ArrayLike | Tensor,
        targets: ArrayLike | Tensor,
        *,
        split: Sequence[str],
        name: str = "own",
        examples: pd.DataFrame | None = None,
        source: str = "arrays given by the user",
    ) -> Dataset:
        """A data set of your own arrays, which are copied.

        `inputs`: floats [example, feature], or images [example, row, column]. `targets`: integers [example],
        the class numbers from 0 up, or floats [example] or [example, output]. `split`: for each example
        "network", "probe" or "test" (`from models.data.splits import split_at_random` to have them drawn). `examples`:
        what else is known; `split` is added to it, and `label` for classes. A recipe is made to fit with
        `models.recipe("digits-mlp").on(name, inputs=5, outputs=2)`.
        """
        x, image_shape = _inputs_of(inputs)
        y = _targets_of(targets)
        table = pd.DataFrame(index=range(len(x))) if examples is None else examples.reset_index(drop=True)
        known = {"split": list(split)} | ({"label": y.tolist()} if y.ndim == 1 else {})
        check_lengths(name, inputs=x, targets=y, examples=table, split=known["split"])
        classes = int(y.max()) + 1 if y.ndim == 1 and len(y) else 0
        return cls(name, x, y, table.assign(**known), image_shape, classes, source)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def reads(self) -> Literal["numbers", "number sequences", "tokens", "token pairs"]:
        """What a network must read to be trained on it."""
        if self.mask is not None:
            return "token pairs" if self.source_positions else "tokens"
        return "numbers" if self.inputs.ndim == 2 else "number sequences"

    @property
    def asks_everywhere(self) -> bool:
        """Whether there is a target at each position, not one for each example."""
        return self.targets.ndim == 2 and not self.targets.is_floating_point()

    @cached_property
    def network(self) -> Dataset:
        """The examples that train networks."""
        return self._part("network")

    @cached_property
    def probe(self) -> Dataset:
        """The examples that train what reads networks."""
        return self._part("probe")

    @cached_property
    def test(self) -> Dataset:
        """The examples that judge both."""
        return self._part("test")

    @cached_property
    def digest(self) -> str:
        """sha256, in hexadecimal, of all that is in the data set but its name, `source` and `tokenizer`.

        The same on every machine: byte order is fixed, and fractions in `examples` count to six digits.
        """
        return digest(
            self.inputs,
            self.targets,
            self.examples,
            image_shape=self.image_shape,
            classes=self.classes,
            mask=self.mask,
            source_positions=self.source_positions,
        )

    @property
    def images(self) -> Float[Tensor, "example row column"]:
        """The inputs as images, no copy; `Refused` when they are none."""
        if self.image_shape is None:
            raise Refused(f"The inputs of {self.name!r} are no images: image_shape is None.")
        return self.inputs.reshape(len(self), *self.image_shape)

    def subset(self, which: ArrayLike | Tensor) -> Dataset:
        """The examples picked by a mask (one bool per example) or by row numbers, in the order given.

        A run of neighbouring rows shares memory with the whole. Raises `Refused` when nothing is picked, or a
        row number or the mask's length does not fit.
        """
        rows = check_selection(which, len(self))
        chosen = slice(int(rows[0]), int(rows[-1]) + 1) if bool((np.diff(rows) == 1).all()) else rows
        return dataclasses.replace(
            self,
            inputs=self.inputs[chosen],
            targets=self.targets[chosen],
            mask=None if self.mask is None else self.mask[chosen],
            examples=self.examples.iloc[chosen].reset_index(drop=True),
        )

    def split_counts(self) -> dict[str, int]:
        """How many examples each split has."""
        counts = self.examples["split"].value_counts()
        return {name: int(counts.get(name, 0)) for name in SPLITS}

    def _part(self, split: str) -> Dataset:
        mask = (self.examples["split"] == split).to_numpy()
        if not mask.any():
            figures = ", ".join(f"{name} {count:,}" for name, count in self.split_counts().items())
            raise Refused(f"The data set {self.name!r} has no example in the split {split!r}: {figures}.")
        return self.subset(mask)

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {count:,}" for name, count in self.split_counts().items())
        known = ", ".join(map(str, self.examples.columns))
        return f"Dataset({self.name!r}: {len(self):,} x {self.inputs.shape[1]:,}; {figures}; known: {known})"

    def _repr_html_(self) -> str:
        shape = f"images of {self.image_shape[0]} x {self.image_shape[1]}" if self.image_shape else "vectors"
        if self.mask is not None:
            pairs = f", the first {self.source_positions} of a source" if self.source_positions else ""
            shape = f"sequences of up to {self.inputs.shape[1]} tokens{pairs}"
        elif self.inputs.ndim == 3:
            shape = f"sequences of {self.inputs.shape[1]} x {self.inputs.shape[2]} numbers"
        rows = "".join(
            f"<tr><th scope='row'>{key}</th><td>{n:,}</td></tr>" for key, n in self.split_counts().items()
        )
        target = f"{self.classes} classes" if self.classes else f"{self.targets.shape[1]} numbers to predict"
        return (
            f"<table><caption><b>{escape(self.name)}</b>: {len(self):,} examples, {shape}, {target}. "
            f"{escape(self.source)}</caption>"
            "<thead><tr><th scope='col'>split</th><th scope='col'>examples</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>{self.examples.head().to_html(border=0)}"
        )


def _inputs_of(
    inputs: ArrayLike | Tensor,
) -> tuple[Shaped[Tensor, "example feature"], tuple[int, int] | None]:
    x = torch.tensor(np.asarray(inputs))
    if x.ndim not in (2, 3) or not x.is_floating_point():
        raise Refused(
            f"Inputs have the shape {list(x.shape)} and the type {x.dtype}. Allowed: floats "
            "[example, feature] or [example, row, column]; pixels from 0 to 255 are divided by 255 first."
        )
    return x.flatten(1).float(), (int(x.shape[1]), int(x.shape[2])) if x.ndim == 3 else None


def _targets_of(targets: ArrayLike | Tensor) -> Int64[Tensor, " example"] | Float[Tensor, "example output"]:
    given = np.asarray(targets)
    if given.dtype.kind not in "biufc":
        raise Refused(
            f"Targets are numbers, of a class or to predict; given {given.dtype}. `pandas.factorize` numbers the "
            "classes of names."
        )
    y = torch.tensor(given)
    if y.is_floating_point() and y.ndim in (1, 2):
        return y.float().reshape(len(y), -1)
    if y.ndim != 1 or y.is_complex():
        raise Refused(
            f"Targets have the shape {list(y.shape)} and the type {y.dtype}. Allowed: integers [example] for "
            "classes, floats [example] or [example, output] for numbers to predict."
        )
    return y.long()
