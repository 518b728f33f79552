"""What a probe is given: a vector an example, also where activations lie along a sequence or in an image.

At a hook with an axis `pos` a probe reads one position: the same for all, or each example's own, told by a column of
the examples (`answer_pos`, `subject_last` in data of facts). The maps of a convolution are read whole, every channel at
every row and column a feature of its own. The raw input of a token sequence, which probes of
activations are held against, is which token stands where, a feature for each that occurs.

When it misleads: a position that means nothing in common (the third of sentences of several templates) mixes what is
known there; and what is read at the answer's position was perhaps brought there in the last step.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from interp.reading.activations import Activations
from interp.refusals import Refused, unknown

ANSWER = "answer_pos"
MAPS = ("channel", "row", "column")


def vectors_at(acts: Activations, hook: str, at: str | int) -> Float[Tensor, "*seed example feature"]:
    """The activations at a hook, `[*seed, example, feature]`; of sequences at the position `at`, maps in one row.

    Raises `Refused` for positions that are not there, and for hooks with other axes than these.
    """
    values, axes = acts.tensor(hook), acts.axes(hook)
    if "pos" in axes:
        values = _picked(values, axes.index("pos"), _positions(acts, at))
        axes = tuple(axis for axis in axes if axis != "pos")
    if axes[-3:] == MAPS:
        values, axes = values.flatten(-3), (*axes[:-3], "feature")
    if (
        tuple(axis for axis in axes if axis != "seed")[:1] != ("example",)
        or values.ndim - ("seed" in axes) != 2
    ):
        raise Refused(
            f"{hook!r} has axes {list(acts.axes(hook))}: give hooks whose axes are example and one more, besides pos, "
            "or a convolution's maps."
        )
    return values


def _positions(acts: Activations, at: str | int) -> Tensor:
    """Each example's position, `[example]`."""
    if isinstance(at, int):
        return torch.full((len(acts.examples),), at)
    if at not in acts.examples:
        raise unknown("column that tells a position", at, map(str, acts.examples.columns))
    column = acts.examples[at]
    if column.dtype.kind not in "iu":
        raise Refused(f"The column {at!r} holds {column.dtype}, no positions: give one of whole numbers.")
    return torch.tensor(column.tolist())


def _picked(values: Tensor, axis: int, positions: Tensor) -> Tensor:
    """The values at each example's position, the axis gone; the example's axis stands just before it."""
    length = values.shape[axis]
    if int(positions.min()) < 0 or int(positions.max()) >= length:
        raise Refused(
            f"Positions go from 0 to {length - 1}; asked for {int(positions.min())} to {int(positions.max())}."
        )
    by_position = values.movedim((axis - 1, axis), (0, 1))
    chosen = by_position[torch.arange(len(positions)), positions.to(values.device)]
    return chosen.movedim(0, axis - 1)


def as_features(
    fit: Shaped[Tensor, "fit ..."], test: Shaped[Tensor, "test ..."]
) -> tuple[Float[Tensor, "fit feature"], Float[Tensor, "test feature"]]:
    """The inputs of both splits as numbers: vectors as they are, tokens as which stands where (of those in `fit`)."""
    if fit.is_floating_point():
        return fit.flatten(1), test.flatten(1)
    seen = [torch.unique(column) for column in fit.unbind(1)]

    def one_hot(tokens: Tensor) -> Tensor:
        parts = [column[:, None] == known for column, known in zip(tokens.unbind(1), seen, strict=True)]
        return torch.cat(parts, dim=1).float()

    return one_hot(fit), one_hot(test)
