"""Writing a target with an encoder-decoder: token by token, the likeliest (greedy), or the likeliest of several (beam).

Greedy takes at each step the likeliest next token (of several, the first). A beam keeps the `beams` beginnings with the
largest sum of log probabilities, lets each go on with every token, and keeps the best again; one that has ended stays
as it is. At last the best is given: by that sum, or, where `length_power` p is above 0, by the sum over length ** p,
because a sum favours short targets (Wu et al. 2016, https://arxiv.org/abs/1609.08144, section 7, have a formula of
their own for it). Every target begins with `boundary`, and ends with it.

The source is read once; each step runs the decoder over the target so far. Hooks of the encoder fire once, those of the
decoder at every step.

When it misleads: a wider beam finds targets that the network gives more probability, which need not be better ones.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from models.networks.seq2seq import Seq2Seq
from models.networks.seq2seq_config import PAD
from models.refusals import Refused


@torch.no_grad()
def translate(
    model: Seq2Seq,
    sources: Int64[Tensor, "*given example pos"],
    *,
    boundary: int = 1,
    beams: int = 1,
    length_power: float = 0.0,
) -> Int64[Tensor, "*seed example target_pos"]:
    """Targets of up to as many tokens as the context: what follows `boundary`, its end with it, then padding.

    `sources` as `Seq2Seq.encode` takes them; of a population, each member writes its own. Raises `Refused` for a
    boundary that is no token, no beam, more beams than tokens, and logits that are NaN.
    """
    _check(model, boundary, beams, length_power)
    memory, real = model.encode(sources)
    real = real.expand(memory.shape[:-1]).repeat_interleave(beams, dim=-2)
    memory = memory.repeat_interleave(beams, dim=-3)
    lead = memory.shape[:-2]
    targets = torch.full((*lead, 1), boundary, device=memory.device)
    # all beams begin alike: but for the first, none counts until it differs
    sums = torch.full((*lead[:-1], lead[-1] // beams, beams), -math.inf, device=memory.device)
    sums[..., 0] = 0.0
    for _ in range(model.config.context):
        logits = model.decode(targets, memory, real)[..., -1, :]
        sums, targets = _longer(sums, targets, _going_on(logits, targets, boundary), beams)
        if bool(_ended(targets, boundary).all()):
            break
    return _best(sums.flatten(-2), targets, beams, length_power)[..., 1:]


def _going_on(logits: Tensor, targets: Tensor, boundary: int) -> Tensor:
    """The log probability of each next token, padding left out; what has ended goes on with padding alone."""
    if bool(logits.isnan().any()):
        raise Refused("The network's logits are NaN: its weights are broken, or an edit breaks them.")
    padding = torch.arange(logits.shape[-1], device=logits.device) == PAD
    ended = _ended(targets, boundary)[..., None]
    chances = logits.masked_fill(padding, -math.inf).log_softmax(dim=-1)
    return torch.where(ended, torch.where(padding, 0.0, -math.inf), chances)


def _ended(targets: Tensor, boundary: int) -> Tensor:
    """Which targets have written their end."""
    return (targets[..., 1:] == boundary).any(dim=-1)


def _longer(
    sums: Float[Tensor, "*lead example beam"],
    targets: Int64[Tensor, "*lead row pos"],
    chances: Float[Tensor, "*lead row token"],
    beams: int,
) -> tuple[Tensor, Tensor]:
    """The best `beams` of every beginning with every next token."""
    tokens = chances.shape[-1]
    totals = sums[..., None] + chances.view(*sums.shape, tokens)
    kept, place = totals.flatten(-2).sort(dim=-1, descending=True, stable=True)
    kept, place = kept[..., :beams], place[..., :beams]
    earlier = targets.view(*sums.shape, -1)
    index = (place // tokens)[..., None].expand(*place.shape, earlier.shape[-1])
    longer = torch.cat([earlier.gather(-2, index), (place % tokens)[..., None]], dim=-1)
    return kept, longer.flatten(-3, -2)


def _best(
    sums: Float[Tensor, "*lead row"], targets: Int64[Tensor, "*lead row pos"], beams: int, length_power: float
) -> Int64[Tensor, "*lead example pos"]:
    """Of every example's beams the one with the best sum for its length."""
    lengths = (targets[..., 1:] != PAD).sum(dim=-1)
    scores = (sums / lengths**length_power).view(*sums.shape[:-1], -1, beams)
    index = scores.argmax(dim=-1)[..., None, None]
    each = targets.view(*scores.shape, -1)
    return each.gather(-2, index.expand(*index.shape[:-1], each.shape[-1])).squeeze(-2)


def _check(model: Seq2Seq, boundary: int, beams: int, length_power: float) -> None:
    tokens = model.config.vocabulary
    if not PAD < boundary < tokens:
        raise Refused(f"The boundary is a token from 1 to {tokens - 1} (0 is padding); given {boundary}.")
    if not 1 <= beams < tokens:
        raise Refused(f"There are 1 to {tokens - 1} beams, one for each token at most; given {beams}.")
    if not (math.isfinite(length_power) and length_power >= 0):
        raise Refused(f"length_power is a finite number from 0; given {length_power}.")
