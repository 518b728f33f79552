"""Multinomial logistic probes, many at once.

    minimise over W, b   sum over examples -log softmax(W x + b)[class]  +  penalty / 2 · |W|²

The bias is not penalised. With two classes the penalty counts double, which makes the two rows the halves of
the one row of ordinary logistic regression: for any number of classes this is the objective of scikit-learn's
LogisticRegression(C=1/penalty).

Solved by L-BFGS (descent.py) from zero weights, preconditioned by the exact inverse Hessian there, that of
X'X / classes + penalty · I on centred X: one small inverse per set of activations serves all label vectors,
and several times fewer steps are taken than without. (Böhning's bound, 1992, doi.org/10.1007/BF00048682, has
1/2 in place of 1/classes: safe everywhere, too stiff at the start.) The stopping rule is scikit-learn's:
largest entry of the gradient of the mean over examples, in the coordinates the probe solves in. Features
whose scales differ by hundreds may not reach it; `standardise` makes rule and penalty independent of scale.

It misleads where classes can be separated perfectly: weights then grow as far as the penalty lets them, and
their size says nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from interp.measuring.descent import Stopping, minimise
from interp.measuring.labelled import labelled
from interp.measuring.linear import LinearProbes
from interp.measuring.ridge import check_penalty
from interp.measuring.scaling import measure_scaling

DEFAULT_STOPPING = Stopping()


def fit_logistic(
    features: Shaped[Tensor, "*batch example feature"],
    labels: Shaped[Tensor, "*labels label"],
    *,
    classes: int,
    penalty: float = 1.0,
    standardise: bool = False,
    stopping: Stopping = DEFAULT_STOPPING,
) -> LinearProbes:
    """Logistic probes for every set of activations and every label vector.

    Batch axes broadcast (see labelled.py); `penalty` is scikit-learn's `1 / C`. Refuses what `labelled`
    refuses and a penalty that is not positive. Probes that stop short of the tolerance have `converged`
    false, and a ConvergenceWarning counts them.
    """
    check_penalty(penalty)
    data = labelled(features, labels, classes=classes)
    scaling = measure_scaling(data.features, standardise=standardise)
    problems = _pose(scaling.apply(data.features), data.one_hot(), penalty)
    start = data.features.new_zeros(*data.labels.shape[:2], classes, data.features.shape[-1] + 1)
    solved, converged = minimise(problems, start, stopping=stopping)
    _warn_unless(converged, stopping)
    weights, bias = scaling.undo(solved[..., :-1], solved[..., -1])
    return LinearProbes(data.unflatten(weights), data.unflatten(bias), data.unflatten(converged))


@dataclass(frozen=True)
class _Cost:
    """Mean cross-entropy and penalty; the last column of `inputs` is one, that of `decay` zero: the bias."""

    inputs: Float[Tensor, "own example column"]
    targets: Float[Tensor, "own shared class example"]
    decay: Float[Tensor, " column"]
    inverse: Float[Tensor, "own column column"]

    def value_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        scores = _each(points, self.inputs.mT)
        highest = scores.amax(2, keepdim=True)
        exponentials = (scores - highest).exp_()
        total = exponentials.sum(2, keepdim=True)
        surprise = (highest + total.log())[:, :, 0] - (scores * self.targets).sum(2)
        residual = exponentials.div_(total).sub_(self.targets).div_(scores.shape[-1])
        decayed = points * self.decay
        gradient = _each(residual, self.inputs).add_(decayed)
        return surprise.mean(-1) + (points * decayed).sum((-2, -1)) / 2, gradient

    def precondition(self, gradients: Tensor) -> Tensor:
        return _each(gradients, self.inverse)

    def kept(self, own: Tensor, shared: Tensor) -> _Cost:
        return _Cost(self.inputs[own], self.targets[own][:, shared], self.decay, self.inverse[own])


def _pose(centred: Tensor, targets: Tensor, penalty: float) -> _Cost:
    examples, classes = centred.shape[1], targets.shape[2]
    inputs = torch.cat([centred, torch.ones_like(centred[..., :1])], -1)
    decay = centred.new_full((inputs.shape[-1],), (2 if classes == 2 else 1) * penalty / examples)
    decay[-1] = 0.0
    hessian = (inputs.mT @ inputs).div_(classes * examples) + torch.diag(decay)
    return _Cost(inputs, targets, decay, torch.linalg.inv(hessian))


def _each(rows: Tensor, matrix: Tensor) -> Tensor:
    """`[own, shared, row, k]` times `[own, k, column]`: one product per set of activations."""
    own, shared, height, _ = rows.shape
    return torch.bmm(rows.reshape(own, shared * height, -1), matrix).view(own, shared, height, -1)


def _warn_unless(converged: Tensor, stopping: Stopping) -> None:
    short = converged.numel() - int(converged.sum())
    if short:
        warnings.warn(
            f"{short} of {converged.numel()} logistic fits did not reach the tolerance {stopping.tolerance} "
            f"in {stopping.iterations} evaluations. Allow more, raise the penalty, or standardise.",
            ConvergenceWarning,
            stacklevel=3,
        )
