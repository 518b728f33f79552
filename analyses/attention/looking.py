"""Who looks at whom (T3): attention to later tokens, their influence, and what the place looked at is worth.

Weights above the diagonal of every pattern are read. Every token in turn is changed, and the logits at every position
are held against what they were, bit for bit; the control is the same weights in a network without the mask. Then each
head loses the place that it looks at most, or another: what changes more at the output?
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import interp
from analyses.attention.subjects import COURSE, Found, Subject

if TYPE_CHECKING:
    import xarray as xr
    from torch import Tensor, nn

WATCHED = 4
"""Texts of each unit whose tokens are changed one by one."""


def looking(subject: Subject) -> Found:
    """The claims, and who has influence on whom."""
    watched = subject.few(WATCHED)
    moved = influence(subject.model, watched.text, vocabulary=subject.vocabulary)
    seen, before = weight_ahead(subject.model, watched.text), at_earlier(moved)
    unmasked_seen, unmasked_before = {}, {}
    if (open_eyed := subject.unmasked) is not None:
        open_moved = influence(open_eyed, watched.text, vocabulary=subject.vocabulary)
        unmasked_seen["without the mask"] = watched.largest(weight_ahead(open_eyed, watched.text))
        unmasked_before["without the mask"] = watched.largest(at_earlier(open_moved))
    evidence = [
        interp.Evidence(
            "No head gives any weight to a later token.",
            COURSE,
            "largest weight above the diagonal of all heads' patterns",
            watched.largest(seen),
            interp.Equals(0),
            unmasked_seen,
        ),
        interp.Evidence(
            "Changing a token leaves the logits at all earlier positions as they were, to the bit.",
            COURSE,
            "largest change of a logit at a position before the changed token",
            watched.largest(before),
            interp.Equals(0),
            {"at later positions": watched.largest(at_later(moved)), **unmasked_before},
        ),
        worth(subject),
    ]
    return Found(evidence, figures={"influence": influence_figure(moved)})


def worth(subject: Subject) -> interp.Evidence:
    """The place looked at most against another."""
    looked, other = (knocked_out(subject.model, subject.text, at_random=chance) for chance in (False, True))
    return interp.Evidence(
        "The place that a head looks at most is worth more to the output than another place.",
        COURSE,
        "KL of the next token's distribution, in nats, when a head loses one place, mean over heads",
        subject.per_unit(looked),
        interp.ExceedsControls(),
        {"another place, drawn at random": subject.per_unit(other)},
    )


def weight_ahead(model: nn.Module, tokens: Tensor) -> xr.DataArray:
    """The largest weight that any head gives to a later token, `[(seed), example]`."""
    import xarray as xr

    acts = interp.capture(model, tokens, "blocks.*.attn.hook_pattern")
    ahead = [abs(acts[name]).where(_later(acts[name], "query_pos", "key_pos"), 0.0) for name in acts]
    return xr.concat([one.max(("head", "query_pos", "key_pos")) for one in ahead], dim="layer").max("layer")


def _later(values: xr.DataArray, here: str, there: str) -> xr.DataArray:
    """Where the position along `there` stands after that along `here`."""
    import xarray as xr

    places = {axis: xr.DataArray(range(values.sizes[axis]), dims=axis) for axis in (here, there)}
    return places[there] > places[here]


def influence(model: nn.Module, tokens: Tensor, *, vocabulary: range) -> xr.DataArray:
    """How far the logits at a position move when the token at another changes, `[(seed), example, changed, pos]`.

    Of every logit the largest absolute change; the new token is drawn from `vocabulary`, another than was there.
    """
    import torch
    import xarray as xr

    from models.seeds import generator

    size, length = len(vocabulary), tokens.shape[-1]
    step = torch.randint(1, size, tokens.shape, generator=generator(0, "another token"))
    other = vocabulary.start + (tokens - vocabulary.start + step) % size
    moved = []
    with torch.no_grad():
        untouched = model(tokens)
        for pos in range(length):
            changed = tokens.clone()
            changed[:, pos] = other[:, pos]
            moved.append((model(changed) - untouched).abs().amax(dim=-1))
    values = torch.stack(moved, dim=-2).numpy(force=True)
    return xr.DataArray(values, dims=("seed", "example", "changed", "pos")[4 - values.ndim :])


def at_earlier(moved: xr.DataArray) -> xr.DataArray:
    """Of `influence` the largest change at a position before the changed token."""
    return moved.where(_later(moved, "pos", "changed"), 0.0).max(("changed", "pos"))


def at_later(moved: xr.DataArray) -> xr.DataArray:
    """Of `influence` the largest change at a position after the changed token."""
    return moved.where(_later(moved, "changed", "pos"), 0.0).max(("changed", "pos"))


def knocked_out(model: nn.Module, tokens: Tensor, *, at_random: bool) -> xr.DataArray:
    """KL(untouched || without one place), at the last position, mean over heads; `[(seed), example]`, in nats.

    Taken out of a head's pattern is the place that the last position looks at most, or another one at random.
    """
    import torch

    acts = interp.capture(model, tokens, "blocks.*.attn.hook_pattern")
    edits = []
    for name in acts:
        pattern = acts.tensor(name)
        value = acts[name].copy(data=without_place(pattern, at_random=at_random).numpy(force=True))
        edits += [interp.patch(name, value, head=head, query_pos=-1) for head in range(pattern.shape[-3])]
    with torch.no_grad():
        clean = model(tokens)[..., -1, :].log_softmax(-1)

    def divergence(logits: Tensor) -> Tensor:
        lost: Tensor = clean.exp() * (clean - logits.log_softmax(-1))
        return lost.sum(-1)

    return interp.sweep(model, tokens, edits, divergence, at=-1).mean("edit")


def without_place(pattern: Tensor, *, at_random: bool) -> Tensor:
    """The pattern with one place of its last row set to zero: the one of most weight, or one of the others."""
    import torch

    from models.seeds import generator

    last = pattern[..., -1, :]
    gone = last.argmax(dim=-1, keepdim=True)
    if at_random:
        step = torch.randint(1, last.shape[-1], gone.shape, generator=generator(0, "another place"))
        gone = (gone + step.to(gone.device)) % last.shape[-1]
    changed = pattern.clone()
    changed[..., -1, :] = last.scatter(-1, gone, 0.0)
    return changed


def influence_figure(moved: xr.DataArray) -> Any:
    """Who has influence on whom, mean over rows and networks."""
    over = [dim for dim in moved.dims if dim in ("seed", "example")]
    return interp.heatmap(
        moved.mean(over).rename(changed="changed_token", pos="position_of_the_logits"),
        measure="largest change of a logit",
        caption="How far the logits at a position move when the token at another is changed: exactly 0 at all "
        "positions before it.",
    )
