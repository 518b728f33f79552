"""Effects of edits: the metric under each, beside the untouched run and the run that patches came from.

An effect is the metric under an edit less the metric untouched, example by example. `recovered` divides its mean by the
mean difference of the two runs: 1 where the edit moves the metric all the way to the other run, 0 where it does
nothing; it misleads where the two runs hardly differ, and is refused where they do not differ at all. Many places are
looked at, so p-values (sign flips over the units) come with Benjamini and Hochberg's correction over all of them, and
means with BCa intervals (measuring/statistics.py). The units are the seeds of a population, each with the mean of its
examples; examples of one network otherwise, and what is then found is found of that network alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from interp.measuring.statistics import benjamini_hochberg, measured, sign_flip_p
from interp.refusals import Refused


@dataclass(frozen=True)
class Effects:
    """`under [edit, (seed), example]`: the metric under each edit; `untouched` and `other` `[(seed), example]`.

    `other`: the metric of the run that was patched from; None where there was none (ablation).
    """

    under: xr.DataArray
    untouched: xr.DataArray
    other: xr.DataArray | None = None

    @property
    def change(self) -> xr.DataArray:
        """The effect of every edit on every example, in the metric's unit."""
        return self.under - self.untouched

    @property
    def recovered(self) -> xr.DataArray:
        """The share of the difference between the two runs that each edit makes up for, `[edit, (seed)]`."""
        if self.other is None:
            raise Refused("An ablation patches from no other run, so nothing is recovered: read `change`.")
        whole = (self.other - self.untouched).mean("example")
        if bool((whole == 0).any()):
            raise Refused("The metric is the same in both runs, so no share of a difference can be taken.")
        return self.change.mean("example") / whole

    def grid(self, *axes: str, share: bool = False) -> xr.DataArray:
        """The mean effect (or share recovered) over examples and seeds with one dimension for each coordinate named.

        Raises `Refused` where two edits have the same coordinates.
        """
        values = self.recovered if share else self.change.mean("example")
        values = values.mean("seed") if "seed" in values.dims else values
        missing = [axis for axis in axes if axis not in values.coords]
        if missing or not axes:
            raise Refused(
                f"A grid has one or more of {sorted(map(str, values.coords))} as axes; given {list(axes)}."
            )
        values = values.reset_coords([c for c in values.coords if c not in axes], drop=True)
        if len(axes) == 1:
            return values.swap_dims(edit=axes[0])
        index = pd.MultiIndex.from_arrays([values[axis].values for axis in axes], names=list(axes))
        if not index.is_unique:
            raise Refused(
                f"Several edits share {list(axes)}: name more coordinates, or select some edits first."
            )
        series = pd.Series(values.values, index=index)
        return xr.DataArray.from_series(series)

    def to_dataframe(self, *, confidence: float = 0.95, seed: int = 0) -> pd.DataFrame:
        """A row for each edit: its coordinates, mean effect, interval, p, p corrected over all rows, and units.

        Raises `Refused` for fewer than two units.
        """
        change = self.change.mean("example") if "seed" in self.change.dims else self.change
        rows = [
            measured(values, confidence=confidence, seed=seed) for values in change.values.astype(np.float64)
        ]
        p_values = [
            sign_flip_p(values, alternative="two-sided", seed=seed)
            for values in change.values.astype(np.float64)
        ]
        along = {str(name): c.values for name, c in change.coords.items() if c.dims == ("edit",)}
        return pd.DataFrame(
            {
                **along,
                "effect": [row.estimate for row in rows],
                "low": [row.interval[0] for row in rows],
                "high": [row.interval[1] for row in rows],
                "p": p_values,
                "p_corrected": benjamini_hochberg(p_values),
                "units": change.shape[1],
            }
        )
