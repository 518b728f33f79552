"""The methods by name, and all of them at once.

    scores = METHODS["drift"](model, facts, reference)                           # [seed, component]
    table = localize(model, facts, reference, ["drift", "mean ablation"])         # [by, seed, component]
    table = localize(model, facts, reference, {**METHODS, "mine": my_method})    # one of your own beside them

Printed, each method says what it measures. A method of one's own is a function
`(model, facts, reference, *, components=None) -> xarray.DataArray [seed, component]` over the network it is given. It
is asked about all components, embedding and unembedding among them, and gives NaN for those it cannot see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from torch import nn

from interp.locating.localization.ablation import additive_ablation, mean_ablation, resample_ablation
from interp.locating.localization.asking import FactData
from interp.locating.localization.baselines import RandomScores
from interp.locating.localization.drift import drift
from interp.locating.localization.gradients import (
    gradient_norm_ratio,
    gradient_times_activation,
    integrated_gradients_over_neurons,
)
from interp.locating.localization.inquiry import Inquiry
from interp.locating.localization.parts import parts_of
from interp.locating.localization.reading_out import direct_attribution, key_value_reading, readability
from interp.locating.localization.scores import Inquiring, Method, OfParts, Paired
from interp.locating.localization.tracing import causal_tracing
from interp.locating.localization.weights import clipping, shrinking
from interp.reading.points import seeds_of
from interp.refusals import Refused, unknown

METHODS: Mapping[str, Method] = {
    "mean ablation": Paired(mean_ablation),
    "resample ablation": Paired(resample_ablation),
    "additive ablation": Paired(additive_ablation),
    "causal tracing": Paired(causal_tracing),
    "gradient x activation": Paired(gradient_times_activation),
    "integrated gradients": Paired(integrated_gradients_over_neurons),
    "readability": Paired(readability),
    "key-value reading": Paired(key_value_reading),
    "direct logit attribution": Paired(direct_attribution),
    "shrinking": Paired(shrinking),
    "clipping": Paired(clipping),
    "gradient norm ratio": OfParts(gradient_norm_ratio),
    "drift": Paired(drift),
    "random": OfParts(RandomScores()),
}


def localize(
    model: nn.Module,
    facts: FactData,
    reference: FactData,
    methods: Mapping[str, Method] | Sequence[str] | None = None,
    *,
    components: Sequence[str] | None = None,
) -> xr.DataArray:
    """Where `facts` are, by every method: scores `[by, seed, component]` (`[by, component]` of one network).

    `facts` are those asked about, `reference` others that the network knows, of the same kind (the same relations) and
    not among `facts`. A higher score says that a component matters more to these facts than to others of a like
    margin. Most scores are standardised differences: the mean over pairs of the effect on a fact less that on its peer,
    over its standard deviation; 0 says no difference, 1 a large one. Compare the components by one method; the scales
    of two methods differ. NaN: the method cannot see that component. The attribute `pairs` counts each seed's pairs.

    `methods`: names of `METHODS`, or a dictionary in which your own may stand beside them; None: all.

    Raises `Refused` for no methods, for what the methods refuse, and for scores of other parts than were asked for;
    `TooFewPairs` where too few facts of a like margin are known.
    """
    methods = _by_name(methods)
    parts, seeds = parts_of(model, components), seeds_of(model)
    names = [part.name for part in parts]
    inquiry = Inquiry.of(model, facts, reference)
    found = []
    for key, one in methods.items():
        scores = (
            one.scores(inquiry, parts)
            if isinstance(one, Inquiring)
            else one(model, facts, reference, components=names)
        )
        found.append(_checked(key, scores, names, seeds))
    together = xr.concat(found, dim=xr.Variable("by", list(methods)), combine_attrs="drop")
    paired = next((one.attrs["pairs"] for one in found if "pairs" in one.attrs), None)
    return together.assign_attrs({} if paired is None else {"pairs": paired})


def _by_name(methods: Mapping[str, Method] | Sequence[str] | None) -> Mapping[str, Method]:
    """The methods asked for. Raises `Refused` for none, and for a name that is not in `METHODS`."""
    if methods is None:
        return METHODS
    if not isinstance(methods, Mapping):
        names = [methods] if isinstance(methods, str) else methods
        for name in names:
            if name not in METHODS:
                raise unknown("method", name, METHODS)
        methods = {name: METHODS[name] for name in names}
    if not methods:
        raise Refused("No method was given.")
    return methods


def _checked(key: str, scores: object, names: Sequence[str], seeds: Sequence[int] | None) -> xr.DataArray:
    """The scores, seeds and parts in the order asked for, if they are of just these and none is infinite."""
    wanted: dict[str, list[object]] = {} if seeds is None else {"seed": list(seeds)}
    wanted["component"] = list(names)
    labels: dict[str, list[object]] = {}
    if isinstance(scores, xr.DataArray):
        labels = {
            str(dim): scores[dim].to_numpy().tolist() if dim in scores.coords else [] for dim in scores.dims
        }
    alike = {dim: sorted(map(repr, found)) for dim, found in labels.items()} == {
        dim: sorted(map(repr, asked)) for dim, asked in wanted.items()
    }
    if not isinstance(scores, xr.DataArray) or not alike or scores.dtype.kind not in "fiu":
        raise Refused(
            f"The method {key!r} gave a {type(scores).__name__} with labels {labels}; asked for were {wanted}: a "
            "method gives an xarray.DataArray of numbers with these dimensions and labels, NaN where it cannot see."
        )
    if bool(np.isinf(scores).any()):
        raise Refused(f"The method {key!r} gave infinite scores; NaN says that a part cannot be seen.")
    return scores.sel(wanted).transpose(*wanted)
