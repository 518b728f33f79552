"""Ridge probes in closed form, many at once.

Least squares on targets +1 (the class) and -1 (the others), an L2 penalty on the weights, none on the bias:

    minimise over W, b   sum over examples |W x + b - t|²  +  penalty · |W|²
    on centred X:                        W = T' X (X'X + penalty · I)⁻¹
    with fewer examples than features:   W = T' (XX' + penalty · I)⁻¹ X

Each Gram matrix is factored once and serves every label vector that uses the same activations. The same
objective as scikit-learn's RidgeClassifier (its two-class form keeps one row of ours). It misleads where a
class lies between two others on a line (masking): squared error then never lets it win; a logistic probe
does.

Source: Hoerl and Kennard, "Ridge regression" (1970), doi.org/10.1080/00401706.1970.10488634.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from interp.measuring.labelled import labelled
from interp.measuring.linear import LinearProbes
from interp.measuring.scaling import measure_scaling
from interp.refusals import Refused


def fit_ridge(
    features: Shaped[Tensor, "*batch example feature"],
    labels: Shaped[Tensor, "*labels label"],
    *,
    classes: int,
    penalty: float = 1.0,
    standardise: bool = False,
) -> LinearProbes:
    """Ridge probes for every set of activations and every label vector.

    Batch axes broadcast (see labelled.py); `penalty` is scikit-learn's `alpha`. Refuses what `labelled`
    refuses, a penalty that is not positive, and a Gram matrix that cannot be factored at this precision.
    """
    check_penalty(penalty)
    data = labelled(features, labels, classes=classes)
    scaling = measure_scaling(data.features, standardise=standardise)
    one_hot = data.one_hot()
    weights = _solve(scaling.apply(data.features), one_hot, penalty).mul_(2)
    weights, bias = scaling.undo(weights, 2 * one_hot.mean(-1) - 1)
    weights, bias = data.unflatten(weights), data.unflatten(bias)
    return LinearProbes(weights, bias, torch.ones(data.shape, dtype=torch.bool, device=bias.device))


def check_penalty(penalty: float) -> None:
    """Refuse a penalty that is not a positive finite number."""
    if not 0 < penalty < float("inf"):
        raise Refused(f"Penalty {penalty} was given; it must be positive, for example 1.0.")


def _solve(
    centred: Float[Tensor, "own example feature"],
    one_hot: Float[Tensor, "own shared class example"],
    penalty: float,
) -> Float[Tensor, "own shared class feature"]:
    """Half the weights: on centred features, targets of ±1 act like 2 and 0."""
    stacked = one_hot.flatten(1, 2)
    if centred.shape[1] < centred.shape[2]:
        factor = _factor(centred @ centred.mT, penalty)
        stacked = stacked - stacked.mean(-1, keepdim=True)
        weights = torch.cholesky_solve(stacked.mT, factor).mT @ centred
    else:
        factor = _factor(centred.mT @ centred, penalty)
        weights = torch.cholesky_solve((stacked @ centred).mT, factor).mT
    return weights.reshape(*one_hot.shape[:3], centred.shape[2])


def _factor(gram: Float[Tensor, "own side side"], penalty: float) -> Float[Tensor, "own side side"]:
    gram.diagonal(dim1=-2, dim2=-1).add_(penalty)
    factor: Tensor
    factor, failures = torch.linalg.cholesky_ex(gram)
    if bool(failures.any()):
        raise Refused(
            f"{int(failures.count_nonzero())} of {len(gram)} Gram matrices cannot be factored in "
            f"{gram.dtype} with penalty {penalty}. Raise the penalty, standardise, or pass float64."
        )
    return factor
