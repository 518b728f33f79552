"""Who looks at whom (T3): attention to later tokens, their influence, and what the place looked at is worth.

Weights above the diagonal of every pattern are read. Every token in turn is changed, and the logits at every position
are held against what they were, bit for bit; the control is the same weights in a network without the mask. Then each
head loses the place that it looks at most, or as much weight elsewhere: what changes more at the output? (Taking away
another place with its own, smaller weight would take away less, and be outdone whatever stands there.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import interp
from analyses.attention.subjects import COURSE, Found, Subject

if TYPE_CHECKING:
    import xarray as xr
    from torch import Tensor, nn

Taken = Literal["most", "another", "others"]
WATCHED = 4
"""Texts of each unit whose tokens are changed one by one."""
ANOTHER, ALL_OTHERS = (
    "as much weight of another place, drawn at random",
    "as much weight, of all other places alike",
)
BELOW_ZERO = (
    "A head that loses as much weight elsewhere as its first place has may keep a weight below zero there, which no "
    "attention gives by itself."
)


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
    return Found(evidence, figures={"influence": influence_figure(moved)}, notes=[BELOW_ZERO])


def worth(subject: Subject) -> interp.Evidence:
    """The place looked at most against as much weight elsewhere."""
    kinds: tuple[Taken, ...] = ("most", "another", "others")
    most, another, others = (subject.per_unit(knocked_out(subject.model, subject.text, one)) for one in kinds)
    return interp.Evidence(
        "The place that a head looks at most is worth more to the output than as much weight elsewhere.",
        COURSE,
        "KL of the next token's distribution, in nats, when a head loses what its first place weighs, mean of heads",
        most,
        interp.ExceedsControls(),
        {ANOTHER: another, ALL_OTHERS: others},
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


def knocked_out(model: nn.Module, tokens: Tensor, taken: Taken) -> xr.DataArray:
    """KL(untouched || without that weight), at the last position, mean over heads; `[(seed), example]`, in nats."""
    import torch

    acts = interp.capture(model, tokens, "blocks.*.attn.hook_pattern")
    edits = []
    for name in acts:
        pattern = acts.tensor(name)
        value = acts[name].copy(data=without_weight(pattern, taken).numpy(force=True))
        edits += [interp.patch(name, value, head=head, query_pos=-1) for head in range(pattern.shape[-3])]
    with torch.no_grad():
        clean = model(tokens)[..., -1, :].log_softmax(-1)

    def divergence(logits: Tensor) -> Tensor:
        lost: Tensor = clean.exp() * (clean - logits.log_softmax(-1))
        return lost.sum(-1)

    return interp.sweep(model, tokens, edits, divergence, at=-1).mean("edit")


def without_weight(pattern: Tensor, taken: Taken) -> Tensor:
    """The pattern whose last row has lost as much weight as its first place has, `[..., query_pos, key_pos]`.

    Taken from that place (`most`), from another drawn at random (`another`), or from all but it alike (`others`); so
    all rows lose the same, and weights may fall below zero.
    """
    import torch

    from models.seeds import generator

    last = pattern[..., -1, :]
    weight, place = last.max(dim=-1, keepdim=True)
    if taken == "another":
        step = torch.randint(1, last.shape[-1], place.shape, generator=generator(0, "another place"))
        place = (place + step.to(place.device)) % last.shape[-1]
    share = torch.zeros_like(last).scatter(-1, place, 1.0)
    if taken == "others":
        share = (1 - share) / (last.shape[-1] - 1)
    changed = pattern.clone()
    changed[..., -1, :] = last - weight * share
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
