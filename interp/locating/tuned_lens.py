"""The tuned lens's translators: one affine map for each layer, trained so that the lens says what the network says.

For the stream h that enters a layer, h + h A + b goes to the final normalisation and unembedding; A and b, both 0 at
the start, minimise the mean of KL(output || lens) over positions (Belrose et al. 2023, https://arxiv.org/abs/2303.08112).

Departure from the paper: it trains 250 steps of SGD with Nesterov momentum (rate 1, decaying linearly, weight decay
0.001, gradients clipped to norm 1) on batches of 2^18 tokens. Networks here are small and so are their batches, so
Adam takes the steps (rate 0.003 unless given, decaying linearly to 0), without weight decay or clipping.

A translator is fitted, so it is to be read on other examples than it was trained on; and it belongs to the network it
was trained for: a digest of the weights is kept, and another network is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from boltons.fileutils import atomic_save
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from interp.locating.direct import anatomy_of
from interp.locating.gradients import traced
from interp.reading.capture import evaluating
from interp.reading.feeding import Feed, LabelledData, feed_of
from interp.reading.points import seeds_of
from interp.refusals import BadFile, Refused

FORMAT = "interp-lab tuned lens 1"


@dataclass(frozen=True, eq=False)
class TunedLens:
    """Translators `A [*seed, layer, d_model, d_model]` and `b [*seed, layer, d_model]` of one network."""

    A: Tensor
    b: Tensor
    network: str

    def translated(
        self, stream: Float[Tensor, "*seed example pos d_model"], layer: int
    ) -> Float[Tensor, "*seed example pos d_model"]:
        """The stream that enters a layer, as the end of the network is to read it."""
        A, b = self.A.select(-3, layer).to(stream), self.b.select(-2, layer).to(stream)
        return stream + stream @ A.unsqueeze(-3) + b[..., None, None, :]

    def save(self, path: Path | str) -> None:
        """Writes the translators to a safetensors file, whole or not at all."""
        tensors = {"A": self.A.detach().contiguous().cpu(), "b": self.b.detach().contiguous().cpu()}
        metadata = {"format": FORMAT, "network": self.network}
        with atomic_save(str(path), overwrite_part=True) as file:
            file.write(safetensors.torch.save(tensors, metadata))


def open_tuned_lens(path: Path | str) -> TunedLens:
    """The translators that `save` wrote; raises `BadFile`, naming it, for anything else."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise BadFile(f"{path} holds no tuned lens: its format is not {FORMAT!r}.")
            return TunedLens(file.get_tensor("A"), file.get_tensor("b"), metadata["network"])
    except BadFile:
        raise
    except (OSError, SafetensorError, KeyError) as error:
        raise BadFile(f"{path} is missing, truncated or no tuned lens: {error}") from error


def train_tuned_lens(
    model: nn.Module,
    data: LabelledData | Tensor,
    *,
    steps: int = 300,
    rate: float = 0.003,
    batch_size: int = 32,
    seed: int = 0,
) -> TunedLens:
    """Translators for every layer, fitted on sequences `[example, pos]`, padding left out; the network is not changed.

    `seed` draws the batches, the same for every member of a population. Raises `Refused` for networks that cannot be
    started after their last layer, and for steps, rate or batch size that are not above 0.
    """
    if min(steps, batch_size) < 1 or not 0 < rate < float("inf"):
        raise Refused(f"steps, batch_size and rate are above 0; given {steps}, {batch_size} and {rate}.")
    feed = feed_of(model, data, batch_size=batch_size)
    hooks = [f"blocks.{layer}.hook_resid_pre" for layer in range(anatomy_of(model).layers)]
    randomness = torch.Generator().manual_seed(seed)
    with torch.enable_grad(), evaluating(model):
        lens = _untrained(model, feed, len(hooks))
        optimizer = torch.optim.Adam([lens.A, lens.b], lr=rate)
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        for _ in range(steps):
            inputs, real = _batch(feed, randomness)
            loss = _divergence(model, inputs, real, lens=lens, hooks=hooks)
            # by autograd.grad, so that the network's own parameters gather no gradient
            lens.A.grad, lens.b.grad = torch.autograd.grad(loss, (lens.A, lens.b))
            optimizer.step()
            decay.step()
    return TunedLens(lens.A.detach(), lens.b.detach(), lens.network)


def check_network(model: nn.Module, lens: TunedLens) -> None:
    """Refuses a network other than the one the translators were trained for."""
    if digest_of(model) != lens.network:
        raise Refused(
            "This tuned lens was trained for another network, or the network was trained further since: train a lens "
            "for this one."
        )


def digest_of(model: nn.Module) -> str:
    """SHA-256 over the network's weights and their names."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _untrained(model: nn.Module, feed: Feed, layers: int) -> TunedLens:
    if not layers:
        raise Refused("A network without layers needs no translators: its embeddings are its last stream.")
    seeds = seeds_of(model)
    with torch.no_grad():
        stream = model(next(feed.batches()), stop_at_layer=0)
    shape = (*(() if seeds is None else (len(seeds),)), layers, stream.shape[-1])
    kind = {"dtype": stream.dtype, "device": stream.device}
    A, b = torch.zeros(*shape, stream.shape[-1], **kind), torch.zeros(*shape, **kind)
    return TunedLens(A.requires_grad_(), b.requires_grad_(), digest_of(model))


def _batch(feed: Feed, randomness: torch.Generator) -> tuple[Tensor, Tensor]:
    """Examples drawn without replacement, and where they are real, `[*seed, example, pos]`."""
    chosen = torch.randperm(feed.total, generator=randomness)[: feed.batch_size]
    inputs = feed.inputs.index_select(feed.axis, chosen.to(feed.inputs.device)).to(feed.device, feed.dtype)
    if feed.padding is None:
        return inputs, torch.ones(inputs.shape, dtype=torch.bool, device=inputs.device)
    real = feed.padding.index_select(feed.padding.ndim - 2, chosen.to(feed.padding.device))
    return inputs, real.to(inputs.device)


def _divergence(
    model: nn.Module, inputs: Tensor, real: Tensor, *, lens: TunedLens, hooks: list[str]
) -> Tensor:
    """KL(output || lens), mean over examples and positions that are real, summed over layers and seeds."""
    with torch.no_grad(), traced(model, hooks) as live:
        last = model(inputs, stop_at_layer=len(hooks))
        output = model(last, start_at_layer=len(hooks)).log_softmax(-1)
    total = torch.zeros((), dtype=output.dtype, device=output.device)
    for layer, name in enumerate(hooks):
        seen = model(lens.translated(live[name], layer), start_at_layer=len(hooks)).log_softmax(-1)
        divergence = F.kl_div(seen, output, reduction="none", log_target=True).sum(-1)
        total = total + (torch.where(real, divergence, 0).sum((-2, -1)) / real.sum((-2, -1))).sum()
    return total
