"""A sweep's tensors never take more bytes at once than `memory=` allows, measured allocation by allocation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from allocations import with_peak_bytes
from hand_network import HandNetwork
from torch import Tensor, nn

from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.clean import Share
from interp.writing.edits import Edit, add_noise, patch, project_out, resample, scale, steer, zero
from interp.writing.footprint import Footprint
from interp.writing.passes import Passing
from interp.writing.room import Room
from interp.writing.sweep import sweep
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

Case = tuple[nn.Module, Tensor, list[Edit], Callable[[Tensor], Tensor], int | None]


def mlp(seeds: int | Sequence[int], edits: Callable[[str, int], Edit]) -> Case:
    """Every neuron of two layers of 48."""
    model = MLP(MLPConfig((32, 48, 48, 6), activation="relu", initialisation="kaiming"), seeds=seeds).eval()
    inputs = torch.rand(40, 32, generator=torch.Generator().manual_seed(0))
    neurons = [edits(f"layers.{layer}.hook_post", neuron) for layer in range(2) for neuron in range(48)]
    return model, inputs, neurons, lambda output: output[..., 3], None


def transformer(edits: Callable[[str, Tensor], list[Edit]], at: int | None = -1, **changes: Any) -> Case:
    """Edits of both layers of a network whose example run takes some 40 kB."""
    config: dict[str, Any] = {
        "vocabulary": 20,
        "context": 12,
        "layers": 2,
        "d_model": 32,
        "heads": 4,
        "d_mlp": 128,
    }
    model = Transformer(TransformerConfig(**config | changes)).eval()
    tokens = torch.randint(20, (12, 12), generator=torch.Generator().manual_seed(0))
    source = capture(model, tokens.flip(0), "blocks.*.hook_resid_pre")
    entries = [edit for name in source for edit in edits(name, source.tensor(name))]

    def metric(output: Tensor) -> Tensor:
        return output[..., 1] if at is not None else output[..., 1].sum(-1)

    return model, tokens, entries, metric, at


def patches(name: str, there: Tensor) -> list[Edit]:
    return [patch(name, there, pos=pos) for pos in range(12)]


def beside(name: str, other: str) -> str:
    return name.replace("hook_resid_pre", other)


CASES: dict[str, tuple[Callable[[], Case], tuple[int, ...]]] = {
    "columns": (lambda: mlp(0, lambda hook, neuron: zero(hook, neuron=neuron)), (80_000, 150_000, 600_000)),
    "columns of a population": (
        lambda: mlp((0, 1, 2), lambda hook, neuron: zero(hook, neuron=neuron)),
        (250_000, 800_000),
    ),
    "columns, whole and by example": (
        lambda: mlp(0, lambda hook, neuron: scale(hook, 0.5, neuron=neuron)),
        (80_000, 150_000),
    ),
    "whole layers": (lambda: mlp(0, lambda hook, n: add_noise(hook, 0.5, draw=n)), (90_000, 400_000)),
    "patches": (lambda: transformer(patches), (200_000, 4_000_000)),
    "patches, all logits": (lambda: transformer(patches, None), (250_000, 4_000_000)),
    "heads laid open": (
        lambda: transformer(
            lambda name, _: [zero(beside(name, "attn.hook_result"), head=head) for head in range(16)],
            heads=16,
            d_head=8,
        ),
        (1_000_000, 4_000_000),
    ),
    "patterns": (
        lambda: transformer(
            lambda name, _: [zero(beside(name, "attn.hook_pattern"), head=h) for h in range(4)]
        ),
        (300_000, 4_000_000),
    ),
    "directions, rotary, gated": (
        lambda: transformer(
            lambda name, there: [project_out(name, there[n, :3]) for n in range(5)],
            positions="rotary",
            normalization="rmsnorm",
            gated=True,
            activation="gelu_tanh",
        ),
        (400_000, 4_000_000),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_no_more_is_allocated_than_allowed(case: str) -> None:
    made, limits = CASES[case]
    model, inputs, edits, metric, at = made()
    free = sweep(model, inputs, edits, metric, at=at).values
    for limit in limits:
        swept, peak = with_peak_bytes(
            lambda limit=limit: sweep(model, inputs, edits, metric, at=at, memory=limit)  # type: ignore[misc]
        )
        assert peak <= limit
        np.testing.assert_allclose(swept.values, free, rtol=1e-4, atol=1e-5)


def room(case: str, limit: int) -> Room:
    model, inputs, edits, _, at = CASES[case][0]()
    whole = Share(inputs, 0, slice(0, len(inputs)), len(inputs))
    return Room.of(model, whole, [(edit,) for edit in edits], at=at, memory=limit)


@pytest.mark.parametrize("case", CASES)
def test_the_lowest_limits_part_the_examples_and_the_highest_do_not(case: str) -> None:
    limits = CASES[case][1]
    low, high = room(case, limits[0]), room(case, limits[-1])
    assert 1 <= low.examples < low.total == high.examples


def test_the_columns_are_run_by_gathered_rows_in_parts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs, edits, metric, _ = CASES["columns"][0]()
    passes = []
    of_changed = Passing._of_changed
    monkeypatch.setattr(Passing, "_of_changed", lambda *given: passes.append(1) or of_changed(*given))
    sweep(model, inputs, edits, metric, memory=80_000)
    assert len(passes) > 4  # two layers in several parts


def test_a_footprint_is_what_the_profiler_counts_and_nothing_is_left() -> None:
    model, tokens, *_ = CASES["patches"][0]()
    with torch.no_grad():
        model(tokens)
        _, counted = with_peak_bytes(lambda: model(tokens))
        with Footprint() as seen:
            output = model(tokens)
    assert seen.peak == counted
    assert seen.alive == output.nbytes
    del output
    assert seen.alive == 0


def test_a_limit_too_low_for_one_example_says_what_it_takes() -> None:
    model, inputs, edits, metric, at = CASES["patches"][0]()
    with pytest.raises(Refused, match=r"One example takes about .* memory=20.0 kB is allowed"):
        sweep(model, inputs, edits, metric, at=at, memory=20_000)


def test_an_edit_that_needs_all_examples_is_not_parted() -> None:
    model, inputs, _, metric, at = CASES["patches"][0]()
    entries = [resample("hook_embed"), steer("hook_embed", torch.ones(32))]
    with pytest.raises(Refused, match="needs all 12 examples at once"):
        sweep(model, inputs, entries, metric, at=at, memory=200_000)


def test_a_network_that_is_run_whole_takes_no_limit() -> None:
    with pytest.raises(Refused, match="memory= bounds runs side by side"):
        sweep(HandNetwork(), torch.rand(3, 2), [zero("double.hook_post")], lambda out: out, memory=10_000)
