"""The lens: what the network would say if its remaining layers were left out, at every layer and position.

The logit lens gives the stream that enters a layer to the final normalisation and unembedding (nostalgebraist 2020,
https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens). The tuned lens puts an affine
translator of its own before that for every layer, h + h A + b (tuned_lens.py). Read off, in nats, for each layer and
position: the entropy of the lens's distribution, its divergence KL(output || lens) from what the network says in the
end, and of the true token its rank (0: the lens's first choice) and surprisal -log p.

The logit lens misleads where a network keeps its early streams in another basis than its last: it then shows nothing,
though the stream may hold everything. The tuned lens misleads the other way: a translator may compute what the layers
that were left out would have computed. Neither says that the network itself reads the stream so.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float, Int64
from torch import Tensor, nn

from interp.locating.direct import anatomy_of
from interp.locating.gradients import traced
from interp.locating.tuned_lens import TunedLens, check_network
from interp.reading.capture import evaluating
from interp.reading.feeding import Feed, LabelledData, feed_of
from interp.reading.points import seeds_of
from interp.refusals import Refused

EXAMPLE = -2  # of what is read off, [*seed, example, pos]


def read_lens(
    model: nn.Module,
    data: LabelledData | Tensor,
    *,
    tuned: TunedLens | None = None,
    truth: Int64[Tensor, "example pos"] | None = None,
    batch_size: int = 64,
) -> xr.Dataset:
    """`entropy`, `kl` and `top` (the likeliest token), each `[*seed, layer, example, pos]`; layer L is the output.

    With `truth`, the true token at each position (-1 where there is none), also `rank` and `surprisal`, NaN where there
    is none. `tuned`: translators for the layers; without them it is the logit lens. Raises `Refused` for networks that
    cannot be started after their last layer, translators of another network and truths of another shape.
    """
    if tuned is not None:
        check_network(model, tuned)
    feed = feed_of(model, data, batch_size=batch_size)
    if truth is not None:
        _check_truth(truth, feed)
    batches = []
    with torch.no_grad(), evaluating(model):
        for place, inputs in enumerate(feed.batches()):
            rows = slice(place * batch_size, place * batch_size + inputs.shape[feed.axis])
            batches.append(_read(model, inputs, tuned, None if truth is None else truth[rows]))
    found = {name: torch.cat([batch[name] for batch in batches], dim=EXAMPLE) for name in batches[0]}
    return _labelled(model, found, feed.examples)


def streams(model: nn.Module, inputs: Tensor) -> list[Float[Tensor, "*seed example pos d_model"]]:
    """The stream that enters each layer, and the one behind the last."""
    layers = anatomy_of(model).layers
    hooks = [f"blocks.{layer}.hook_resid_pre" for layer in range(layers)]
    with traced(model, hooks) as live:
        last = model(inputs, stop_at_layer=layers)
    return [*(live[name] for name in hooks), last]


def _read(
    model: nn.Module, inputs: Tensor, tuned: TunedLens | None, truth: Tensor | None
) -> dict[str, Tensor]:
    """Everything that is read off one batch, `[*seed, layer, example, pos]` each."""
    entering = streams(model, inputs)
    logits = model(entering[-1], start_at_layer=len(entering) - 1)
    output = logits.log_softmax(-1)
    layers = [dict(_measures(output, output, truth))]
    for layer in reversed(range(len(entering) - 1)):
        stream = entering[layer] if tuned is None else tuned.translated(entering[layer], layer)
        seen = model(stream, start_at_layer=len(entering) - 1).log_softmax(-1)
        layers.insert(0, dict(_measures(seen, output, truth)))
    return {name: torch.stack([layer[name] for layer in layers], dim=-3) for name in layers[0]}


def _measures(
    seen: Float[Tensor, "*seed example pos token"],
    output: Float[Tensor, "*seed example pos token"],
    truth: Tensor | None,
) -> Iterator[tuple[str, Tensor]]:
    """What one layer's log-probabilities say, beside the network's own."""
    yield "entropy", -(seen.exp() * seen).sum(-1)
    yield "kl", (output.exp() * (output - seen)).sum(-1)
    yield "top", seen.argmax(-1)
    if truth is None:
        return
    known = (truth >= 0).to(seen.device).expand(seen.shape[:-1])
    index = truth.clamp(min=0).to(seen.device).expand(seen.shape[:-1])
    own = seen.gather(-1, index[..., None])
    rank = (seen > own).sum(-1).to(seen.dtype)
    yield "rank", torch.where(known, rank, torch.nan)
    yield "surprisal", torch.where(known, -own.squeeze(-1), torch.nan)


def _check_truth(truth: Tensor, feed: Feed) -> None:
    expected = (feed.total, feed.inputs.shape[-1])
    if tuple(truth.shape) != expected or truth.dtype != torch.int64:
        raise Refused(
            f"The truth is a token (int64) for each example and position, {list(expected)}; "
            f"given {truth.dtype}, {list(truth.shape)}."
        )


def _labelled(model: nn.Module, found: dict[str, Tensor], examples: pd.DataFrame) -> xr.Dataset:
    seeds = seeds_of(model)
    dims = ("seed", "layer", "example", "pos")[seeds is None :]
    values = {name: (dims, value.numpy(force=True)) for name, value in found.items()}
    coords = {
        **{str(name): ("example", column.to_numpy()) for name, column in examples.items()},
        **({} if seeds is None else {"seed": list(seeds)}),
        "layer": range(found["kl"].shape[-3]),
    }
    return xr.Dataset(values, coords=coords)
