"""Linear probes as scikit-learn estimators: what can be read off activations, and along which directions.

A probe shows that a label can be decoded, not that the network uses it; judge it against its controls
(controls.py) and by the length of its code (code_length.py). Many probes over seeds, hooks and controls:
`fit_ridge` and `fit_logistic`, which these classes call, take them all at once.

Source: Alain and Bengio, "Understanding intermediate layers using linear classifier probes" (2016),
arxiv.org/abs/1610.01644.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from interp.measuring.descent import Stopping
from interp.measuring.geometry import class_directions
from interp.measuring.linear import LinearProbes
from interp.measuring.logistic import fit_logistic
from interp.measuring.ridge import fit_ridge
from interp.refusals import Refused


class LinearProbe(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What linear probes share; `RidgeProbe` and `LogisticProbe` are the final ones.

    Fitted attributes: `classes_`; `coef_ [class, feature]` and `intercept_ [class]`, one row for two
    classes, in the space of the activations; `directions_ [rank, feature]`, orthonormal, most separating
    first; `converged_`.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on `X [example, feature]` and one label per example.

        Refuses NaN, unequal lengths and classes with a single example (ValueError; `Refused` with the
        figure).
        """
        activations, given = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(given)
        self.classes_, codes, counts = np.unique(given, return_inverse=True, return_counts=True)
        _refuse_rare_classes(self.classes_, counts)
        fitted = self._fit(torch.tensor(activations), torch.from_numpy(codes))
        self.coef_, self.intercept_ = self._rows(fitted.weights.numpy(), fitted.bias.numpy())
        directions = class_directions(fitted.weights)
        self.directions_: NDArray[Any] = directions[directions.any(-1)].numpy()
        self.converged_ = bool(fitted.converged)
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Scores `[example, class]`; with two classes `[example]`, positive for the second."""
        check_is_fitted(self)
        activations = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        scores: NDArray[Any] = activations @ self.coef_.T + self.intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The label of the largest score per example."""
        scores = self.decision_function(X)
        codes = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)
        labels: NDArray[Any] = self.classes_[codes]
        return labels

    @abstractmethod
    def _fit(self, features: Tensor, codes: Tensor) -> LinearProbes:
        """Weights and bias of each class."""

    @abstractmethod
    def _rows(self, weights: NDArray[Any], bias: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Weights and bias as scikit-learn keeps them: one row for two classes."""


class RidgeProbe(LinearProbe):
    """Ridge classifier in closed form; `penalty` is scikit-learn's `alpha`. See ridge.py."""

    def __init__(self, penalty: float = 1.0, *, standardise: bool = False) -> None:
        self.penalty = penalty
        self.standardise = standardise

    def _fit(self, features: Tensor, codes: Tensor) -> LinearProbes:
        return fit_ridge(
            features,
            codes,
            classes=len(self.classes_),
            penalty=self.penalty,
            standardise=self.standardise,
        )

    def _rows(self, weights: NDArray[Any], bias: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        return (weights[1:], bias[1:]) if len(bias) == 2 else (weights, bias)


class LogisticProbe(LinearProbe):
    """Multinomial logistic regression; `penalty` is scikit-learn's `1 / C`. See logistic.py."""

    def __init__(
        self,
        penalty: float = 1.0,
        *,
        standardise: bool = False,
        tolerance: float = 1e-4,
        iterations: int = 1000,
    ) -> None:
        self.penalty = penalty
        self.standardise = standardise
        self.tolerance = tolerance
        self.iterations = iterations

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Probabilities `[example, class]`."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        probabilities: NDArray[Any] = softmax(scores, axis=1)
        return probabilities

    def _fit(self, features: Tensor, codes: Tensor) -> LinearProbes:
        return fit_logistic(
            features,
            codes,
            classes=len(self.classes_),
            penalty=self.penalty,
            standardise=self.standardise,
            stopping=Stopping(self.tolerance, self.iterations),
        )

    def _rows(self, weights: NDArray[Any], bias: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        return (weights[1:] - weights[:1], bias[1:] - bias[:1]) if len(bias) == 2 else (weights, bias)


def _refuse_rare_classes(classes: NDArray[Any], counts: NDArray[Any]) -> None:
    if len(classes) < 2 or counts.min() < 2:
        rare = classes[counts.argmin()]
        raise Refused(
            f"Class {rare!s} has {counts.min()} example(s) among {counts.sum()} of {len(classes)} class(es); "
            "a probe needs 2 classes and 2 examples of each. Leave the class out, or add examples."
        )
