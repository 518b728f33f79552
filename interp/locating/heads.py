"""What every attention head of a network does: where it looks, and whether it says what it looks at.

Where: prefix matching, previous token and ahead, from the patterns (interp/measuring/attention_patterns.py).

Copying: suppose a head looks at one token alone. What it then writes is given to the final normalisation and
unembedding by itself; the score is the share of the vocabulary whose logit it raises less than that token's own, mean
over positions (ties count half). 1: it says the token; 0.5: luck. Only the order of logits counts, so the scale of the
normalisation, which one head alone would get wrong, does not matter. To make each head look at each token alone its
pattern is set to the identity. (Olsson et al. 2022, https://arxiv.org/abs/2209.11895, score copying by raised logits or
by eigenvalues of the head's matrices; this rank is a score of its own, comparable between heads and networks.)

When they mislead: a head that copies for another head's use, not for the output, may score 0.5; and what stands at a
position in a later layer is more than that position's token.
"""

from __future__ import annotations

import torch
import xarray as xr
from jaxtyping import Float, Int64
from torch import Tensor, nn

from interp.locating.direct import anatomy_of
from interp.measuring.attention_patterns import ahead, by_position_alone, prefix_matching, previous_token
from interp.reading.capture import capture, evaluating
from interp.reading.feeding import LabelledData, feed_of
from interp.reading.points import seeds_of
from interp.refusals import Refused
from interp.writing.edits import edited, patch


def head_scores(model: nn.Module, data: LabelledData | Tensor) -> xr.Dataset:
    """`prefix_matching`, `by_position` (the same of the mean pattern), `previous_token`, `ahead` of every head.

    Each `[*seed, layer, head, example]`. `data` are tokens `[example, pos]`, the same for every member of a population.
    Raises `Refused` for networks whose layers have unequal heads or no attention, and rows that repeat no token.
    """
    tokens, layers = _tokens(model, data), _attentions(model)
    found: dict[str, list[Tensor]] = {
        name: [] for name in ("prefix_matching", "by_position", "previous_token", "ahead")
    }
    for layer in layers:
        name = f"blocks.{layer}.attn.hook_pattern"
        pattern = capture(model, data, name).tensor(name)
        rows = tokens.to(pattern.device)
        found["prefix_matching"].append(prefix_matching(pattern, rows))
        found["by_position"].append(prefix_matching(by_position_alone(pattern), rows))
        found["previous_token"].append(previous_token(pattern))
        found["ahead"].append(ahead(pattern))
    return xr.Dataset({name: _labelled(model, layers, scores) for name, scores in found.items()})


def copying(model: nn.Module, data: LabelledData | Tensor) -> xr.DataArray:
    """The copying score of every head, `[*seed, layer, head, example]`; see the module's first lines.

    Raises `Refused` as `head_scores` does, and for networks that cannot be started after their last layer.
    """
    tokens, layers = _tokens(model, data), _attentions(model)
    eye = xr.DataArray(torch.eye(tokens.shape[-1]).numpy(), dims=("query_pos", "key_pos"))
    scores = []
    for layer in layers:
        hook = f"blocks.{layer}.attn.hook_result"
        with edited(model, patch(f"blocks.{layer}.attn.hook_pattern", eye)):
            result = capture(model, data, hook).tensor(hook)
        scores.append(_said(model, result, tokens.to(result.device)))
    return _labelled(model, layers, scores)


@torch.no_grad()
def _said(
    model: nn.Module, result: Float[Tensor, "*seed example pos head d_model"], tokens: Tensor
) -> Float[Tensor, "*seed example head"]:
    """For each head the share of the vocabulary that its write raises less than the token it was taken from."""
    end, shares = anatomy_of(model).layers, []
    with evaluating(model):
        for written in result.unbind(dim=-2):
            raised = model(written, start_at_layer=end) - model(torch.zeros_like(written), start_at_layer=end)
            own = raised.gather(-1, tokens.expand(raised.shape[:-1])[..., None])
            ties = (raised == own).sum(dim=-1) - 1
            below = (raised < own).sum(dim=-1) + 0.5 * ties
            shares.append((below / (raised.shape[-1] - 1)).mean(dim=-1))
    return torch.stack(shares, dim=-1)


def _tokens(model: nn.Module, data: LabelledData | Tensor) -> Int64[Tensor, "example pos"]:
    tokens = feed_of(model, data, batch_size=None).inputs
    if tokens.ndim != 2 or tokens.is_floating_point():
        raise Refused(
            f"Heads are scored on tokens [example, pos]; given {tokens.dtype} of shape {list(tokens.shape)}."
        )
    return tokens


def _attentions(model: nn.Module) -> tuple[int, ...]:
    layers = anatomy_of(model).attentions
    if not layers:
        raise Refused("This network has no attention, so there are no heads to score.")
    return layers


def _labelled(model: nn.Module, layers: tuple[int, ...], scores: list[Tensor]) -> xr.DataArray:
    """Scores `[*seed, example, head]` of every layer as one array."""
    if len({score.shape[-1] for score in scores}) > 1:
        raise Refused(
            f"The layers have {[score.shape[-1] for score in scores]} heads: score layers with equal heads."
        )
    seeds = seeds_of(model)
    values = torch.stack(scores, dim=-3).transpose(-2, -1).numpy(force=True)
    dims = ("seed", "layer", "head", "example")[seeds is None :]
    coords = {"layer": list(layers), **({} if seeds is None else {"seed": list(seeds)})}
    return xr.DataArray(values, dims=dims, coords=coords)
