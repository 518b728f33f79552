"""What an edit does to the tensor at a hook: each a small frozen function `(tensor, site) -> tensor`.

Each is given all of the tensor and says what it would be everywhere; the edit's restriction then decides
where that counts (see edits.py). None writes into the tensor it is given, so gradients pass. A new kind of
edit is one more such function.

- `Resample` draws whole examples, the same donor for every seed of a population, so that the seeds stay
  comparable (resampling ablation: Chan et al. 2022, causal scrubbing).
- `Noise` is drawn for all examples and positions at once, the same for every seed of a population.
- `Freeze` is `Replace` by another run's activations, example for example.
- `ProjectOut`: x - (x - c) V'V with V an orthonormal basis of the directions, c the centre (0 unless given).
  About 0 it also takes away what all examples share along V; about their mean only the differences between
  them go. Removing the directions of one linear probe leaves what another may find (Ravfogel et al. 2020;
  Elazar et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from interp.refusals import Refused
from interp.writing.aligning import aligned, named_dims
from interp.writing.directions import component, orthonormal, stacked_directions
from interp.writing.drawing import other_examples, randomness
from interp.writing.references import mean_over_examples, refuse_padded_donors, with_examples
from interp.writing.sites import Site
from interp.writing.values import Value


@dataclass(frozen=True)
class Zero:
    """Nothing at all."""

    def __call__(self, tensor: Tensor, site: Site) -> Tensor:
        return tensor.new_zeros(()).expand_as(tensor)


@dataclass(frozen=True)
class Replace:
    """A given value."""

    value: Value

    def __call__(self, tensor: Tensor, site: Site) -> Tensor:
        return aligned(self.value, tensor, site).expand_as(tensor)


@dataclass(frozen=True)
class Mean:
    """The mean over the examples of reference activations, or that mean itself."""

    reference: Value

    def __call__(self, tensor: Tensor, site: Site) -> Tensor:
        mean = site.once("mean", lambda: mean_over_examples(self.reference, site))
        return aligned(mean, tensor, site).expand_as(tensor)


@dataclass(frozen=True)
class Freeze:
    """What it was in another run of the same examples: nothing is broadcast over them."""

    reference: Value

    def __call__(self, tensor: Tensor, site: Site) -> Tensor:
        if "example" in site.axes and "example" not in named_dims(
            self.reference, list(site.sizes(tensor).values()), site
        ):
            raise Refused(
                f"Freezing {site.hook!r} takes its activations on these very examples; {self.reference!r} has "
                "no `example` axis. Capture them, or use `patch`."
            )
        return aligned(self.reference, tensor, site).expand_as(tensor)


@dataclass(frozen=True)
class Scale:
    """Its distance from a centre, times a factor."""

    factor: float
    about: Value | None

    def __call__(self, tensor: Tensor, site: Site) -> Tensor:
        if self.about is None:
            return self.factor * tensor
        centre = site.once("centre", lambda about=self.about: mean_over_examples(about, site))
        from_there = aligned(centre, tensor, site)
        return from_there + self.factor * (tensor - from_there)


@dataclass(frozen=True)
class Noise:
    """Normal noise of a standard deviation, a number or one for each place."""

    std: Value
    draw: int | torch.Generator

    def __call__(self, tensor: Tensor, site: Site) -> Tensor:
        sizes = {axis: n for axis, n in site.sizes(tensor).items() if axis != "seed"}
        drawn = torch.randn(tuple(sizes.values()), generator=randomness(self.draw, site), dtype=torch.float64)
        noise = Value(0.0).relabelled(drawn, tuple(sizes))
        noise.whole = True
        spread = aligned(self.std, tensor, site)
        return tensor + spread * aligned(noise, tensor, site)


@dataclass(frozen=True)
class Resample:
    """The activations of other examples: of the batch itself (no example its own donor), or of a source."""

    source: Value | None
    draw: int | torch.Generator

    def __call__(self, tensor: Tensor, site: Site) -> Tensor:
        _require_axis("example", site)
        generator = randomness(self.draw, site)
        place, count = site.axes.index("example"), site.sizes(tensor)["example"]
        if self.source is None:
            return tensor.index_select(place, other_examples(count, generator, site.hook).to(tensor.device))
        dims = with_examples(self.source, site)
        refuse_padded_donors(self.source, dims, site)
        pool, along = self.source.tensor, dims.index("example")
        donors = torch.randint(pool.shape[along], (count,), generator=generator)
        drawn = self.source.relabelled(pool.index_select(along, donors.to(pool.device)), dims)
        return aligned(drawn, tensor, site).expand_as(tensor)


@dataclass(frozen=True)
class Add:
    """A direction, times a strength, added."""

    direction: Value
    strength: float

    def __call__(self, tensor: Tensor, site: Site) -> Tensor:
        return tensor + self.strength * aligned(self.direction, tensor, site)


@dataclass(frozen=True)
class ProjectOut:
    """Without the component along some directions, about a centre."""

    directions: Value
    about: Value | None

    def __call__(self, tensor: Tensor, site: Site) -> Tensor:
        axis, stacked = site.once("directions", lambda: stacked_directions(self.directions, tensor, site))
        if axis in site.positions or axis in site.by_example:
            raise Refused(
                f"The directions at {site.hook!r} lie along {axis!r}, so the edit cannot be restricted on it."
            )
        basis = site.once(
            (tensor.dtype, tensor.device), lambda: orthonormal(stacked, hook=site.hook).to(tensor)
        )
        off_centre = tensor
        if self.about is not None:
            centre = site.once("centre", lambda about=self.about: mean_over_examples(about, site))
            off_centre = tensor - aligned(centre, tensor, site)
        place = site.axes.index(axis)
        return tensor - component(off_centre.movedim(place, -1), basis).movedim(-1, place)


def local(change: object, axis: str) -> bool:
    """Whether what a change does at a place along this axis depends on what is at that place alone."""
    if isinstance(change, Resample):
        return axis != "example" or change.source is not None
    if isinstance(change, ProjectOut):
        return change.directions.dims is None or axis not in change.directions.dims
    return isinstance(change, Zero | Replace | Mean | Freeze | Scale | Noise | Add)


def _require_axis(axis: str, site: Site) -> None:
    if axis not in site.axes:
        raise Refused(f"Hook {site.hook!r} has no axis {axis!r} among [{', '.join(site.axes)}].")
