"""Ablation: replace what a part puts out, and see which facts' margins fall.

- mean: by its mean over other known facts, position by position;
- resample: by what it puts out for another fact (Chan et al. 2022, causal scrubbing);
- additive: by what the tokens alone predict, a sum of one vector for each token so far, fitted on other facts by ridge
  regression (a word met once is known to a hundredth, one never met not at all). It leaves what a part knows of each
  word and takes away what it makes of their combination, where an arbitrary fact has to be.

The unembedding's output is the answer itself: nothing can be replaced there, so ablation cannot see it. They mislead
where a part prepares what others look up (an attention that moves the subject matters to every fact): the pairs
(scores.py) cancel that for what is needed alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.locating.localization.asking import Asked, Inquiry
from interp.locating.localization.parts import Part
from interp.reading.capture import capture
from interp.writing.edits import Edit, mean, patch, resample

PENALTY = 0.01
Replacing = Callable[[Part, xr.DataArray, Inquiry], Edit]


def mean_ablation(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part example"]:
    """How much each margin falls when a part puts out its mean."""
    return _falls(inquiry, parts, lambda part, known, _: mean(str(part.hook), known, **part.where))


def resample_ablation(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part example"]:
    """How much each margin falls when a part puts out what it does for another fact."""
    return _falls(
        inquiry, parts, lambda part, known, _: resample(str(part.hook), known, draw=0, **dict(part.where))
    )


def additive_ablation(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part example"]:
    """How much each margin falls when a part puts out what tokens alone predict."""
    return _falls(inquiry, parts, _by_tokens)


def _falls(inquiry: Inquiry, parts: Sequence[Part], replacing: Replacing) -> Tensor:
    hooks = sorted({part.hook for part in parts if part.hook is not None})
    known = capture(inquiry.model, inquiry.others, hooks, batch_size=len(inquiry.others))
    falls = []
    for part in parts:
        if part.hook is None:
            falls.append(inquiry.unseen())
        else:
            falls.append(inquiry.falls(part, replacing(part, known[part.hook], inquiry)))
    return torch.stack(falls, dim=-2)


def _by_tokens(part: Part, known: xr.DataArray, inquiry: Inquiry) -> Edit:
    """The output of a part at each position as a sum over the tokens up to there."""
    axes = [*(["seed"] if "seed" in known.dims else []), "example", "pos"]
    output = torch.tensor(known.transpose(*axes, ...).to_numpy())
    flat = output.reshape(*output.shape[: len(axes)], -1)
    predicted = additive(flat, inquiry.others, inquiry.asked)
    shaped = predicted.view(*predicted.shape[:-1], *output.shape[len(axes) :])
    dims = (*axes, *(str(dim) for dim in known.dims if dim not in axes))
    coords = {"seed": known["seed"].to_numpy()} if "seed" in axes else {}
    return patch(str(part.hook), xr.DataArray(shaped.numpy(), dims=dims, coords=coords), **part.where)


def additive(
    output: Float[Tensor, "*seed example pos feature"], fitted_on: Asked, asked: Asked
) -> Float[Tensor, "*seed asked pos feature"]:
    """What tokens up to each position predict of the output there, for `asked`, fitted on other sequences."""
    tokens = int(max(fitted_on.inputs.max(), asked.inputs.max())) + 1
    positions = []
    for pos in range(output.shape[-2]):
        known, new = (_one_hot(one.inputs[:, : pos + 1].cpu(), tokens) for one in (fitted_on, asked))
        there = output[..., pos, :].double()
        centre = there.mean(-2, keepdim=True)
        gram = known.T @ known + PENALTY * torch.eye(known.shape[1], dtype=known.dtype)
        positions.append(
            (new @ torch.linalg.solve(gram, known.T @ (there - centre)) + centre).to(output.dtype)
        )
    return torch.stack(positions, dim=-2)


def _one_hot(tokens: Tensor, count: int) -> Tensor:
    """`[example, pos * token]`: which token stands where."""
    return torch.nn.functional.one_hot(tokens, count).flatten(1).double()
