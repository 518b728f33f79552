"""Matched pairs: each case beside a control of nearly the same value, so that what differs is not that value.

Cases and controls are paired one to one, none further apart than the caliper: as many pairs as there can be, and of
all such pairings the one whose distances sum to the least (optimal matching). The caliper is a fifth of the cases' and
controls' pooled standard deviation: narrower ones lose pairs, wider ones leave a bias (Austin 2011). Standardised
difference: the mean of the pairs' differences over their standard deviation (Cohen's d for pairs); it has no unit, so
effects of one kind may be compared between places where they are of different size.

When it misleads: what was not matched may still differ between cases and controls; and with few pairs left, the cases
that found a partner may be unlike the others. The number of pairs belongs beside every figure.

Sources: Austin, "Optimal caliper widths for propensity-score matching" (2011), doi.org/10.1002/pst.433; Rosenbaum,
"Optimal matching for observational studies" (1989), doi.org/10.1080/01621459.1989.10478868.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor

CALIPER = 0.2


def matched_pairs(
    cases: Float[Tensor, " case"],
    controls: Float[Tensor, " control"],
    *,
    kinds: tuple[Int64[Tensor, " case"], Int64[Tensor, " control"]] | None = None,
    caliper: float = CALIPER,
) -> Int64[Tensor, "pair 2"]:
    """Rows (case, control), each case and each control in one pair at most; `caliper` in pooled standard deviations.

    `kinds`: of the cases and of the controls; then both of a pair are of one kind (exact matching). Values that are not
    finite belong to no pair.
    """
    case_rows, control_rows = (torch.nonzero(values.isfinite()).flatten() for values in (cases, controls))
    if len(case_rows) == 0 or len(control_rows) == 0:
        return torch.empty(0, 2, dtype=torch.int64)
    left, right = cases[case_rows].double(), controls[control_rows].double()
    distance = (left[:, None] - right).abs()
    widest = caliper * pooled_deviation(left, right)
    near = distance <= widest
    if kinds is not None:
        near &= kinds[0][case_rows, None] == kinds[1][control_rows]
    too_far = 1 + widest * min(distance.shape)  # costs more than all pairs within the caliper together
    cost = torch.where(near, distance, too_far)
    first, second = (torch.from_numpy(rows) for rows in linear_sum_assignment(cost.numpy()))
    kept = near[first, second]
    return torch.stack([case_rows[first[kept]], control_rows[second[kept]]], dim=1)


def pooled_deviation(left: Float[Tensor, " case"], right: Float[Tensor, " control"]) -> float:
    """The root of the mean of the two variances; of a single value the variance is 0."""
    return float((sum(values.var(correction=0) for values in (left, right)) / 2) ** 0.5)


def standardised_difference(differences: Float[Tensor, "*batch pair"]) -> Float[Tensor, "*batch"]:
    """Mean over standard deviation of the pairs' differences; NaN where one is NaN, or with fewer than 2 pairs.

    Where all differences are the same there is no deviation: 0 if they are 0, else infinite with their sign.
    """
    if differences.shape[-1] < 2:
        return torch.full(differences.shape[:-1], float("nan"), dtype=differences.dtype)
    precise = differences.double()
    mean, deviation = precise.mean(-1), precise.std(-1)
    rounding = 1e-9 * precise.abs().amax(-1)
    alike = torch.where(mean == 0, 0.0, mean.sign() * float("inf"))
    standardised = torch.where(deviation > rounding, mean / deviation, alike)
    return torch.where(differences.isnan().any(-1), torch.nan, standardised).to(differences.dtype)
