"""Does each edit change the output at all? Shown on real inputs, by leaving it out.

With edits e1 ... en in force the network gives y; without e_i, and the others as they were, y_i. What e_i changes on
an example is the largest |y - y_i| over the entries of its output. So an edit that a later one writes over changes
nothing, and neither does one whose position the output never sees, or that patches in what was there already; a
freeze is judged in the company of what it is to stop. It misleads where two edits do the same: each alone can be left
out. Up to 16 units in the last place of the largest output are rounding (the same sum on other memory may differ so)
and count as no change; how much of a change beyond that matters is the reader's to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import xarray as xr
from torch import Tensor, nn

from interp.reading.capture import evaluating
from interp.reading.feeding import LabelledData, feed_of
from interp.reading.points import seeds_of
from interp.refusals import Refused
from interp.writing.edits import Edit, edited, edits_of

ROUNDING = 16


@torch.no_grad()
def verify_effect(
    model: nn.Module, inputs: LabelledData | Tensor, edits: Edit | Sequence[Edit]
) -> xr.DataArray:
    """The largest change of the output that each edit makes, `[edit, (seed), example]`, in the output's unit.

    Raises `Refused` naming the edits that change the output on no example (of no seed), and as `edited` does.
    """
    feed, asked, seeds = feed_of(model, inputs, batch_size=None), edits_of(edits), seeds_of(model)
    if not asked:
        raise Refused("There is no edit to verify: give at least one.")
    given = feed.inputs.to(feed.device, feed.dtype)
    with evaluating(model):
        together = _output(model, asked, given)
        changes = [
            _change(
                together, _output(model, asked[:i] + asked[i + 1 :], given), lead=1 if seeds is None else 2
            )
            for i in range(len(asked))
        ]
    rounding = ROUNDING * torch.finfo(together.dtype).eps * together.abs().nan_to_num(posinf=0.0).max()
    idle = [edit for edit, change in zip(asked, changes, strict=True) if not bool((change > rounding).any())]
    if idle:
        raise Refused(
            f"{len(idle)} of {len(asked)} edits change the output on none of the {feed.total} examples: "
            + "; ".join(map(repr, idle))
            + ". What stands there already, is written over by a later edit, or is never seen does nothing."
        )
    dims = ("edit", "example") if seeds is None else ("edit", "seed", "example")
    coords = {
        "hook": ("edit", [edit.hook for edit in asked]),
        **({} if seeds is None else {"seed": list(seeds)}),
    }
    return xr.DataArray(
        torch.stack(changes).cpu().double().numpy(), dims=dims, coords=coords, name="largest change"
    )


def _without(edits: Sequence[Edit], place: int) -> list[Edit]:
    """The edits but one; its hook stays listened to, so that a network that then computes by other steps does so."""
    return [replace(edit, change=_nothing) if i == place else edit for i, edit in enumerate(edits)]


def _nothing(tensor: Tensor, site: object) -> Tensor:
    return tensor


def _output(model: nn.Module, edits: Sequence[Edit], inputs: Tensor) -> Tensor:
    with edited(model, edits):
        output = model(inputs)
    if not isinstance(output, Tensor) or not output.is_floating_point():
        what = output.dtype if isinstance(output, Tensor) else type(output).__name__
        raise Refused(f"The network gave {what}; its output must be a tensor of real numbers.")
    return output


def _change(one: Tensor, other: Tensor, *, lead: int) -> Tensor:
    """The largest absolute difference for each example; infinities that are alike differ by 0, NaN by infinity."""
    if one.ndim < lead:
        raise Refused(
            f"The output of shape {list(one.shape)} has no example axis: an effect is one for each example."
        )
    difference = torch.where(one == other, torch.zeros_like(one), (one - other).abs())
    difference = difference.nan_to_num(nan=torch.inf, posinf=torch.inf)
    return difference.flatten(lead).amax(dim=-1) if one.ndim > lead else difference
