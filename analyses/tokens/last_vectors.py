"""The last vector times the unembedding (T6), exactly: what it says, that nothing else counts, what a row teaches.

The unembedding is read off the network itself: with unit vectors in place of the normalised stream, the logits are its
rows. What it gives for the true stream is compared with the network's logits, beside the stream of the position before.
Then the last vector of another text is put in place of a text's own, and, apart, all its other vectors. Last, the
gradient of a row's loss is compared with the mean of those of its beginnings, each a text with one token asked.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import interp
import models
from analyses.tokens.readers import Readers, begun

if TYPE_CHECKING:
    from torch import Tensor

COURSE = "3Blue1Brown, Deep Learning, chapter 5"
ROUNDING = 1e-4
TEXTS = 8
NORMALISED = "ln_final.hook_normalized"


def last_vector(readers: Readers) -> list[interp.Evidence]:
    """The claims about the last vector."""
    data = begun(readers.data.test)
    off, before = read_off(readers.model, data.inputs)
    asked = data.targets >= 0
    swapped = {
        what: taken_over(readers.model, data.inputs, last=what == "last") for what in ("last", "others")
    }
    final = asked[:, -1:]
    return [
        interp.Evidence(
            "The last vector, normalised, times the unembedding gives the logits, to rounding.",
            COURSE,
            "largest difference of a logit, as a share of the largest of all logits, mean over positions",
            readers.per_unit(off, asked),
            interp.LiesWithin(0.0, ROUNDING),
            {"from the vector at the position before": readers.per_unit(before, asked)},
        ),
        interp.Evidence(
            "The next token follows from the last vector alone: with that of another text, it is the other's.",
            COURSE,
            "share of texts that go on as the other text does, likeliest token",
            readers.per_unit(swapped["last"], final),
            interp.Equals(1),
            {"with all other vectors of the other text": readers.per_unit(swapped["others"], final)},
        ),
    ]


def read_off(model: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """How far a position's unembedded stream, and the one before's, are from its logits, `[*seed, example, pos]`."""
    import torch

    stream = interp.capture(model, tokens, NORMALISED).tensor(NORMALISED)
    W, b = unembedding(model, stream.shape[-1])
    said = stream @ W.unsqueeze(-3) + b[..., None, None, :]
    with torch.no_grad():
        logits = model(tokens)
    largest = logits.abs().amax()
    here: Tensor = (said - logits).abs().amax(dim=-1) / largest
    before: Tensor = (said.roll(1, dims=-2) - logits).abs().amax(dim=-1) / largest
    return here, before


def unembedding(model: Any, width: int) -> tuple[Tensor, Tensor]:
    """What the end of the network does to a normalised vector: `W [*seed, d_model, token]` and `b [*seed, token]`."""
    import torch
    import xarray as xr

    units = torch.cat([torch.zeros(1, width), torch.eye(width)])[:, None]
    value = xr.DataArray(units.numpy(), dims=("example", "pos", "d_model"))
    with torch.no_grad(), interp.edited(model, interp.patch(NORMALISED, value)):
        rows = model(torch.zeros(width + 1, 1, dtype=torch.int64))[..., 0, :]
    return rows[..., 1:, :] - rows[..., :1, :], rows[..., 0, :]


def taken_over(model: Any, tokens: Tensor, *, last: bool) -> Tensor:
    """Whether a text goes on as the next one, with that one's last vector or all others, `[*seed, example, 1]`."""
    import torch

    layers = sum(name.endswith("hook_pattern") for name in model.hook_dict)
    hook = f"blocks.{layers - 1}.hook_resid_post"
    other = tokens.roll(1, dims=0)
    where = -1 if last else slice(0, tokens.shape[1] - 1)
    with torch.no_grad():
        wanted = model(other)[..., -1, :].argmax(-1)
        with interp.edited(model, interp.patch(hook, interp.capture(model, other, hook), pos=where)):
            found = model(tokens)[..., -1, :].argmax(-1)
    same: Tensor = (found == wanted)[..., None]
    return same.float()


def each_position(readers: Readers, once: Any) -> list[interp.Evidence]:
    """The claims about training: what a row with a target at each position is worth."""
    test = readers.data.test
    asked = test.targets >= 0
    surprise = {
        name: readers.per_unit(surprisals(model, test), asked)
        for name, model in (("every", readers.model), ("one", once), ("untrained", readers.untrained))
    }
    whole, last = gradient_differences(readers.model, readers.data.network.subset(range(TEXTS)))
    return [
        interp.Evidence(
            "The gradient of a text is the mean of its beginnings' gradients, each a text with one token asked.",
            COURSE,
            "distance of the two gradients, as a share of their length, float64",
            whole,
            interp.LiesWithin(0.0, 1e-9),
            {"the gradient of the last position alone": last},
        ),
        interp.Evidence(
            "Trained on every position of a text, networks predict better than trained on one, from as many texts.",
            COURSE,
            "surprisal of a character of new names, in nats",
            surprise["every"],
            interp.BelowControls(),
            {"one position of each text": surprise["one"], "untrained": surprise["untrained"]},
        ),
    ]


def surprisals(model: Any, data: models.Dataset, *, temperature: float = 1.0) -> Tensor:
    """-log p of each next token, in nats, `[*seed, example, pos]`; 0 where none is asked."""
    import torch

    with torch.no_grad():
        said = (model(data.inputs) / temperature).log_softmax(-1)
    wanted = data.targets.clamp(min=0).expand(said.shape[:-1])[..., None]
    surprisal: Tensor = -said.gather(-1, wanted).squeeze(-1)
    return surprisal * (data.targets >= 0)


def gradient_differences(model: Any, data: models.Dataset) -> tuple[list[float], list[float]]:
    """Of each member the distance of the whole gradient from that of beginnings, and from that of the last position."""
    doubled = [deepcopy(model).member(seed).double() for seed in model.every_seed]
    pairs = [_distances(member, data) for member in doubled]
    return [whole for whole, _ in pairs], [last for _, last in pairs]


def _distances(model: Any, data: models.Dataset) -> tuple[float, float]:
    import torch

    asked = data.targets >= 0
    lengths = asked.sum(dim=1)
    whole = gradient(model, data.inputs, data.targets)
    beginnings = torch.zeros_like(whole)
    for end in range(data.inputs.shape[1]):
        rows = asked[:, end]
        if bool(rows.any()):
            alone = torch.full((int(rows.sum()), end + 1), -1)
            alone[:, end] = data.targets[rows, end]
            beginnings += gradient(model, data.inputs[rows, : end + 1], alone) * rows.sum() / lengths.sum()
    final = torch.where(torch.arange(asked.shape[1]) == lengths[:, None] - 1, data.targets, -1)
    last = gradient(model, data.inputs, final)
    away = [float((one - whole).norm() / whole.norm()) for one in (beginnings, last)]
    return away[0], away[1]


def gradient(model: Any, tokens: Tensor, targets: Tensor) -> Tensor:
    """Of the mean loss over what is asked, all parameters in one vector."""
    import torch
    from torch.nn import functional as F

    loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), ignore_index=-1)
    parts = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])
