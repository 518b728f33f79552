"""Ablation: replace what a part puts out, and see which facts' margins fall.

- mean: by its mean over other known facts, position by position (padding does not count);
- resample: by what it puts out for another fact, of as many tokens (Chan et al. 2022, causal scrubbing);
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
from jaxtyping import Float
from torch import Tensor

from interp.locating.localization.asking import Asked
from interp.locating.localization.inquiry import Inquiry
from interp.locating.localization.parts import Part
from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import patch

PENALTY = 0.01
# from other facts' output: what stands in its place for the facts asked
Replacing = Callable[[Tensor, Inquiry], Tensor]


def mean_ablation(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part example"]:
    """How much each margin falls when a part puts out its mean."""
    return _falls(inquiry, parts, _mean)


def resample_ablation(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part example"]:
    """How much each margin falls when a part puts out what it does for another fact."""
    return _falls(inquiry, parts, _another)


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
            put = replacing(known.tensor(part.hook), inquiry)
            falls.append(inquiry.falls(part, patch(part.hook, put, **part.where)))
    return torch.stack(falls, dim=-2)


def _mean(output: Tensor, inquiry: Inquiry) -> Tensor:
    mean = inquiry.position_mean(output)
    return mean.repeat_interleave(len(inquiry.asked), dim=inquiry.example_axis)


def _another(output: Tensor, inquiry: Inquiry) -> Tensor:
    """For each fact asked the output of another of as many tokens, drawn by a fixed lot, the same for every seed."""
    count = len(inquiry.asked)
    drawn = torch.randint(len(inquiry.others), (count,), generator=torch.Generator().manual_seed(0))
    lengths, theirs = (one.real().sum(-1).cpu() for one in (inquiry.asked, inquiry.others))
    for length in set(lengths.tolist()):
        alike, own = (theirs == length).nonzero().flatten(), lengths == length
        if not len(alike):
            raise Refused(
                f"No reference fact that is left to fit on has {length} tokens, as facts that are compared have: "
                "give more of them, or sequences of one length."
            )
        drawn[own] = alike[drawn[own] % len(alike)]
    return output.index_select(inquiry.example_axis, drawn.to(output.device))


def _by_tokens(output: Tensor, inquiry: Inquiry) -> Tensor:
    """The output at each position as a sum over the tokens up to there."""
    first = inquiry.example_axis + 2
    predicted = additive(output.flatten(first), inquiry.others, inquiry.asked)
    return predicted.view(*predicted.shape[:-1], *output.shape[first:])


def additive(
    output: Float[Tensor, "*seed example pos feature"], fitted_on: Asked, asked: Asked
) -> Float[Tensor, "*seed asked pos feature"]:
    """What tokens up to each position predict of the output there, for `asked`, fitted on other sequences."""
    tokens = int(max(fitted_on.inputs.max(), asked.inputs.max())) + 1
    positions = []
    for pos in range(output.shape[-2]):
        known, new = (_one_hot(one.inputs[:, : pos + 1].cpu(), tokens) for one in (fitted_on, asked))
        there, real = output[..., pos, :].double().cpu(), fitted_on.real()[:, pos].cpu()
        known, there = known[real], there[..., real, :]
        centre = there.mean(-2, keepdim=True)
        gram = known.T @ known + PENALTY * torch.eye(known.shape[1], dtype=known.dtype)
        positions.append((new @ torch.linalg.solve(gram, known.T @ (there - centre)) + centre).to(output))
    return torch.stack(positions, dim=-2)


def _one_hot(tokens: Tensor, count: int) -> Tensor:
    """`[example, pos * token]`: which token stands where."""
    return torch.nn.functional.one_hot(tokens, count).flatten(1).double()
