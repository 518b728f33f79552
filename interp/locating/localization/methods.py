"""The methods by name, and all of them at once.

    scores = METHODS["drift"](model, facts, reference)               # [seed, component]
    table = localize(model, facts, reference, {"mine": my_method})    # [method, seed, component]

A method of one's own is a function `(model, facts, reference, *, components=None) -> xarray.DataArray` over the network
it is given. NaN in a score says that the method cannot see that part.
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
from interp.locating.localization.parts import parts_of
from interp.locating.localization.reading_out import direct_attribution, key_value_reading, readability
from interp.locating.localization.scores import Method, OfParts, Paired
from interp.locating.localization.tracing import causal_tracing
from interp.locating.localization.weights import clipping, shrinking
from interp.refusals import Refused

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
    methods: Mapping[str, Method] = METHODS,
    *,
    components: Sequence[str] | None = None,
) -> xr.DataArray:
    """Every method's scores, `[method, seed, component]` (`[method, component]` of one network).

    Raises `Refused` for no methods, for what the methods refuse, and for scores of other parts than were asked for.
    """
    if not methods:
        raise Refused("No method was given.")
    names = [part.name for part in parts_of(model, components)]
    found = [
        _checked(key, one(model, facts, reference, components=names), names) for key, one in methods.items()
    ]
    return xr.concat(found, dim=xr.Variable("method", list(methods)), combine_attrs="drop")


def _checked(key: str, scores: xr.DataArray, names: Sequence[str]) -> xr.DataArray:
    labels = [] if "component" not in scores.dims else [str(name) for name in scores["component"].to_numpy()]
    if sorted(labels) != sorted(names) or set(scores.dims) - {"seed", "component"}:
        raise Refused(
            f"The method {key!r} gave scores of {dict(scores.sizes)} for {labels}; asked for were {list(names)}: a "
            "method gives an xarray.DataArray [seed, component] over these, NaN where it cannot see."
        )
    if bool(np.isinf(scores).any()):
        raise Refused(f"The method {key!r} gave infinite scores; NaN says that a part cannot be seen.")
    return scores.sel(component=list(names))
