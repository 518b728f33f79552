"""Direct logit attribution: what each component writes to the residual stream, read by the unembedding.

The last layer's stream is the sum of what the embeddings, every head and every MLP wrote. With the scale of the final
normalisation held where it was, the way from the stream to a logit is affine, so the logit is a sum of parts:

    logit = sum over components of (what it wrote) . direction + bias,   direction = d logit / d stream

The biases of attentions and MLPs, and of the final normalisation and unembedding, are parts of their own. Nothing is
left over, and that is checked: every part is computed by itself, and the sum is compared with the logit.

It shows only what reaches the logit directly. A head that moves a token for a later head to use has no direct part,
and a held scale gives no credit for making the stream larger or smaller. Source: Elhage et al. 2021, A Mathematical
Framework for Transformer Circuits, https://transformer-circuits.pub/2021/framework/; nostalgebraist 2020.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd
import torch
import xarray as xr
from jaxtyping import Int64
from torch import Tensor, nn

from interp.locating.gradients import Take, batch_of, traced
from interp.reading.capture import evaluating
from interp.reading.feeding import LabelledData
from interp.reading.points import declared_axes, hook_points, seeds_of
from interp.refusals import Refused
from interp.writing.edits import Edit, edited, zero

SCALE = "ln_final.hook_scale"
TOLERANCE = 1e-4


def direct_logit_attribution(
    model: nn.Module,
    data: LabelledData | Tensor,
    answers: Int64[Tensor, "example pos"],
    *,
    against: Int64[Tensor, "example pos"] | None = None,
    neurons: bool = False,
) -> xr.Dataset:
    """The parts of the answers' logits at every position.

    `answers`: the token whose logit is meant, for each example and position; `against`: the logit difference from this
    token's instead. `neurons`: each neuron of an MLP is a part, not each MLP. Returns `contribution [*seed, part,
    example, pos]` (parts are named `embed`, `pos_embed`, `blocks.0.attn[1]`, `blocks.0.attn.bias`, `blocks.0.mlp`,
    `output.bias`), and `logit [*seed, example, pos]`, which they sum to. Needs a network that can be started after
    its last layer and whose stream is the sum of its parts; raises `Refused` for any other, and where the parts do not
    sum to the logit.
    """
    inputs, examples = batch_of(model, data)
    anatomy = anatomy_of(model)
    with evaluating(model):
        frozen = _Frozen.at(model, inputs, anatomy, chosen=(answers, against))
        with torch.no_grad():
            found = dict(_written(model, inputs, anatomy, frozen.direction, whole=not neurons))
        found |= dict(_neurons(model, inputs, anatomy, frozen.direction)) if neurons else {}
    found["output.bias"] = frozen.bias
    _check_sum(sum(found.values()), frozen.logit)
    return _labelled(model, found, frozen.logit, examples)


@dataclass(frozen=True)
class Anatomy:
    """Which components a transformer has, from the names of its hook points."""

    layers: int
    embeddings: tuple[str, ...]
    attentions: tuple[int, ...]
    mlps: tuple[int, ...]


def anatomy_of(model: nn.Module) -> Anatomy:
    """Raises `Refused` for a network that is no transformer, cannot be started at a layer, or answers once a row."""
    points = hook_points(model)
    layers = {int(found[1]) for name in points if (found := re.match(r"blocks\.(\d+)\.", name))}
    others = [name for name in points if re.search(r"\.\d+\.", name)]
    missing = {"start_at_layer", "stop_at_layer"} - set(inspect.signature(model.forward).parameters)
    if "hook_embed" not in points or missing or (others and not layers):
        raise Refused(
            f"A {type(model).__name__} cannot be taken apart into components: it needs `hook_embed`, layers named "
            "`blocks.0.` on, and a forward that takes start_at_layer and stop_at_layer."
        )
    _check_positions(model, points)
    return Anatomy(
        len(layers),
        tuple(name for name in ("hook_embed", "hook_pos_embed") if name in points),
        tuple(layer for layer in sorted(layers) if f"blocks.{layer}.hook_attn_out" in points),
        tuple(layer for layer in sorted(layers) if f"blocks.{layer}.hook_mlp_out" in points),
    )


def _check_positions(model: nn.Module, points: Mapping[str, nn.Module]) -> None:
    """Refuses logits that have no positions."""
    axes = declared_axes(points["hook_logits"]) if "hook_logits" in points else None
    if axes is not None and "pos" not in axes:
        raise Refused(
            f"The logits of a {type(model).__name__} are {list(axes)}: they have no `pos`, and here the stream is read "
            "at every position. To see what its parts do, patch or ablate them (activation_patching, ablation)."
        )


@dataclass(frozen=True, eq=False)
class _Frozen:
    """The way from the last stream to the chosen logits, its scale held: its slope, its value at 0, the logits."""

    direction: Tensor
    bias: Tensor
    logit: Tensor

    @classmethod
    @torch.enable_grad()
    def at(
        cls, model: nn.Module, inputs: Tensor, anatomy: Anatomy, *, chosen: tuple[Tensor, Tensor | None]
    ) -> _Frozen:
        layers, hooks = anatomy.layers, [SCALE] if SCALE in hook_points(model) else []
        with torch.no_grad():
            stream = model(inputs, stop_at_layer=layers)
            with traced(model, hooks) as live:
                logit = _chosen(model(stream, start_at_layer=layers), *chosen)
        held = [Edit(name, Take(scale.detach())) for name, scale in live.items()]
        leaf = torch.zeros_like(stream).requires_grad_()
        with edited(model, held):
            bias = _chosen(model(leaf, start_at_layer=layers), *chosen)
        (direction,) = torch.autograd.grad(bias.sum(), leaf)
        return cls(direction, bias.detach(), logit)


def _chosen(logits: Tensor, answers: Tensor, against: Tensor | None) -> Tensor:
    """The logits of these tokens, `[*seed, example, pos]`."""
    for tokens in (answers,) if against is None else (answers, against):
        if (
            tokens.shape != logits.shape[-3:-1]
            or not 0 <= int(tokens.min()) <= int(tokens.max()) < logits.shape[-1]
        ):
            raise Refused(
                f"Answers are tokens below {logits.shape[-1]} for each example and position, "
                f"{list(logits.shape[-3:-1])}; given {list(tokens.shape)}, from {int(tokens.min())} to "
                f"{int(tokens.max())}."
            )
    index = answers.to(logits.device).expand(logits.shape[:-1])
    one = logits.gather(-1, index[..., None]).squeeze(-1)
    return one if against is None else one - _chosen(logits, against, None)


def _written(
    model: nn.Module, inputs: Tensor, anatomy: Anatomy, direction: Tensor, *, whole: bool
) -> Iterator[tuple[str, Tensor]]:
    """What embeddings, heads, biases and (if `whole`) MLPs wrote, along the direction."""
    heads = [f"blocks.{layer}.attn.hook_result" for layer in anatomy.attentions]
    mlps = [f"blocks.{layer}.hook_mlp_out" for layer in anatomy.mlps] if whole else []
    with traced(model, [*anatomy.embeddings, *heads, *mlps]) as live:
        model(inputs, stop_at_layer=anatomy.layers)
    for name in anatomy.embeddings:
        yield name.removeprefix("hook_"), (live[name] * direction).sum(-1)
    for layer, name in zip(anatomy.attentions, heads, strict=True):
        shares = (live[name] * direction[..., None, :]).sum(-1).unbind(-1)
        yield from ((f"blocks.{layer}.attn[{head}]", share) for head, share in enumerate(shares))
    for name in mlps:
        yield name.replace("hook_mlp_out", "mlp"), (live[name] * direction).sum(-1)
    yield from _biases(model, inputs, anatomy, direction, mlps=not whole)


def _biases(
    model: nn.Module, inputs: Tensor, anatomy: Anatomy, direction: Tensor, *, mlps: bool
) -> Iterator[tuple[str, Tensor]]:
    """What attentions (and MLPs, where neurons are parts) write when nothing goes in."""
    silenced = [
        (f"blocks.{layer}.attn.hook_z", f"blocks.{layer}.hook_attn_out") for layer in anatomy.attentions
    ]
    if mlps:
        silenced += [
            (f"blocks.{layer}.mlp.hook_post", f"blocks.{layer}.hook_mlp_out") for layer in anatomy.mlps
        ]
    if not silenced:
        return
    with (
        edited(model, [zero(name) for name, _ in silenced]),
        traced(model, [out for _, out in silenced]) as live,
    ):
        model(inputs, stop_at_layer=anatomy.layers)
    for name, out in silenced:
        yield f"{name.rpartition('.')[0]}.bias", (live[out] * direction).sum(-1)


@torch.enable_grad()
def _neurons(
    model: nn.Module, inputs: Tensor, anatomy: Anatomy, direction: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """What each neuron writes, along the direction: its activation times its row of the output matrix."""
    posts, outs = (
        [f"blocks.{layer}.{name}" for layer in anatomy.mlps] for name in ("mlp.hook_post", "hook_mlp_out")
    )
    with traced(model, [*posts, *outs]) as live:
        model(inputs, stop_at_layer=anatomy.layers)
    for post, out in zip(posts, outs, strict=True):
        (slope,) = torch.autograd.grad(live[out], live[post], grad_outputs=direction, retain_graph=True)
        for neuron, share in enumerate((live[post] * slope).detach().unbind(-1)):
            yield f"{post.removesuffix('.hook_post')}[{neuron}]", share


def _check_sum(total: Tensor | int, logit: Tensor) -> None:
    off = float((total - logit).abs().max())
    if not off <= TOLERANCE * max(1.0, float(logit.abs().max())):
        raise Refused(
            f"The parts miss the logit by up to {off:.3g}: this network's stream is not the sum of its parts, or its "
            "way from the stream to the logits is not affine (a soft cap, another final normalisation)."
        )


def _labelled(
    model: nn.Module, found: dict[str, Tensor], logit: Tensor, examples: pd.DataFrame
) -> xr.Dataset:
    seeds = seeds_of(model)
    lead = () if seeds is None else ("seed",)
    coords = {
        "part": list(found),
        **({} if seeds is None else {"seed": list(seeds)}),
        **{str(name): ("example", column.to_numpy()) for name, column in examples.items()},
    }
    parts = torch.stack(list(found.values()), dim=len(lead)).numpy(force=True)
    variables = {
        "contribution": ((*lead, "part", "example", "pos"), parts),
        "logit": ((*lead, "example", "pos"), logit.numpy(force=True)),
    }
    return xr.Dataset(variables, coords=coords)
