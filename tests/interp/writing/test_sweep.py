"""A sweep gives what one edit at a time gives: any network, any edits, any position read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hand_network import HandNetwork, hooks_of
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from interp.reading.activations import Activations
from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import (
    Edit,
    add_noise,
    edited,
    freeze,
    mean,
    patch,
    project_out,
    resample,
    scale,
    steer,
    zero,
)
from interp.writing.passes import Passing
from interp.writing.places import Where
from interp.writing.sites import Site
from interp.writing.sweep import sweep
from models.networks.cnn import CNN
from models.networks.cnn_config import CNNConfig, Convolution
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.pretrained import load_pretrained
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.seq2seq import Seq2Seq
from models.networks.seq2seq_config import Seq2SeqConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.networks.vit import ViT
from models.networks.vit_config import ViTConfig

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-12}
SEEDS = (0, (3, 7))
MLPS: tuple[dict[str, Any], ...] = (
    {"sizes": (5, 4, 6, 3), "activation": "tanh"},
    {"sizes": (5, 4, 3), "activation": "identity", "output": "softmax"},
    {"sizes": (5, 3)},
    {"sizes": (5, 4, 4, 3), "activation": "relu"},
)
TRANSFORMERS: tuple[dict[str, Any], ...] = (
    {},
    {"positions": "rotary", "key_heads": 1, "normalization": "rmsnorm", "gated": True, "activation": "silu"},
    {"causal": False},
    {"d_mlp": 0, "positions": "none", "normalization": "none"},
    {"heads": 0},
    {"layers": 0},
)
LENGTH, EXAMPLES = 5, 3


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_at_a_time(
    model: nn.Module, inputs: Tensor, entries: Sequence[Any], metric: Any, at: int | None = None
) -> np.ndarray[Any, Any]:
    rows = []
    for entry in entries:
        with torch.no_grad(), edited(model.eval(), entry):
            output = model(inputs)
        rows.append(metric(output if at is None else output.select(-2, at)))
    return torch.stack(rows).numpy()


def some_mlp(draw: st.DrawFn, seeds: Any) -> nn.Module:
    return MLP(MLPConfig(**draw(st.sampled_from(MLPS)), initialisation="lecun"), seeds=seeds)


def some_transformer(draw: st.DrawFn, seeds: Any) -> nn.Module:
    config: dict[str, Any] = {
        "vocabulary": 7,
        "context": 6,
        "layers": 2,
        "d_model": 8,
        "heads": 2,
        "d_mlp": 6,
    }
    return Transformer(TransformerConfig(**config | draw(st.sampled_from(TRANSFORMERS))), seeds=seeds)


def some_recurrent(draw: st.DrawFn, seeds: Any) -> nn.Module:
    cell, answers = draw(st.sampled_from(("rnn", "lstm", "gru"))), draw(st.sampled_from(("last", "each")))
    reads = draw(st.sampled_from(({"features": 5}, {"vocabulary": 7, "d_model": 5})))
    config = RecurrentConfig(
        units=4, outputs=3, cell=cell, layers=2, answers=answers, init_scale=2.0, **reads
    )
    return Recurrent(config, seeds=seeds)


def some_cnn(draw: st.DrawFn, seeds: Any) -> nn.Module:
    convolutions = (Convolution(2, kernel=2, pool=draw(st.integers(1, 2))), Convolution(2, kernel=1))
    return CNN(
        CNNConfig((4, 4), convolutions, dense=draw(st.sampled_from(((), (5,)))), outputs=3), seeds=seeds
    )


def some_vit(draw: st.DrawFn, seeds: Any) -> nn.Module:
    summary = draw(st.sampled_from(("class", "mean")))
    return ViT(ViTConfig((4, 4), 2, d_model=8, heads=2, d_mlp=6, outputs=3, summary=summary), seeds=seeds)


def some_seq2seq(draw: st.DrawFn, seeds: Any) -> nn.Module:
    return Seq2Seq(Seq2SeqConfig(7, 3, 7, 2, d_model=8, heads=2, d_mlp=6), seeds=seeds)


FAMILIES = (some_mlp, some_transformer, some_recurrent, some_cnn, some_vit, some_seq2seq)


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Module, Tensor]:
    """A random network of a random family, one or a population, and inputs for it."""
    seeds, dtype = draw(st.sampled_from(SEEDS)), draw(st.sampled_from(sorted(BOUNDS, key=str)))
    family = draw(st.sampled_from(FAMILIES))
    model: Any = family(draw, seeds).to(dtype).eval()
    if getattr(model.config, "vocabulary", 0):
        return model, torch.randint(1, 7, (EXAMPLES, LENGTH), generator=seeded(1))
    blank = model.example_input()
    shape = (EXAMPLES, LENGTH, 5) if family is some_recurrent else (EXAMPLES, *blank.shape[1:])
    if family is not some_recurrent and seeds != 0 and draw(st.booleans()):
        shape = (2, *shape)
    return model, torch.randn(shape, generator=seeded(1), dtype=dtype)


def positions_read(model: Any, inputs: Tensor) -> int:
    """At how many positions there are logits to choose from; 0 where the network answers once."""
    if "pos" not in getattr(model.hook_dict["hook_logits"], "axes", ()):
        return 0
    return inputs.shape[-1] - getattr(model.config, "source_context", 0)


def mixed(x: Tensor, site: Site) -> Tensor:
    """Every position, or last axis, takes part in every other."""
    axis = next((axis for axis in ("pos", "query_pos") if axis in site.axes), site.axes[-1])
    place = site.axes.index(axis)
    return 0.5 * x.flip(place) + x.mean(place, keepdim=True)


@st.composite
def edits(draw: st.DrawFn, model: Any, acts: Activations) -> Edit:
    """A random edit of a random point of the network, with a random restriction."""
    writable = [name for name in acts if not getattr(model.hook_dict[name], "read_only", False)]
    hook = draw(st.sampled_from([name for name in writable if not name.endswith("hook_scale")]))
    axes = [name for name in acts.axes(hook) if name != "seed"]
    where: dict[str, Any] = {}
    for name in draw(st.sets(st.sampled_from(axes), max_size=2)):
        length = acts[hook].sizes[name]
        places = st.integers(-length, length - 1)
        several = st.lists(places, min_size=1, max_size=3, unique_by=lambda n, length=length: n % length)
        where[name] = draw(places | several)
        if name in ("pos", "query_pos") and draw(st.booleans()):
            where[name] = pd.Series(draw(st.lists(places, min_size=EXAMPLES, max_size=EXAMPLES)))
    last = axes[-1]
    builders = {
        "zero": lambda: zero(hook, **where),
        "patch": lambda: patch(hook, acts, **where),
        "mean": lambda: mean(hook, acts, **where),
        "freeze": lambda: freeze(hook, acts, **where),
        "resample": lambda: resample(hook, draw=draw_seed, **where),
        "resample from": lambda: resample(hook, acts, draw=draw_seed, **where),
        "scale": lambda: scale(hook, -0.5, **where),
        "noise": lambda: add_noise(hook, 0.3, draw=draw_seed, **where),
        "steer": lambda: steer(hook, 0.7, **where),
        "project_out": lambda: project_out(
            hook,
            torch.arange(1.0, acts[hook].sizes[last] + 1),
            **{name: value for name, value in where.items() if name != last},
        ),
        "own": lambda: Edit(hook, lambda x, site: x * 0.5 + 0.25),
        "own, of all positions": lambda: Edit(hook, mixed, Where.of(where)),
    }
    draw_seed = draw(st.integers(0, 3))
    return builders[draw(st.sampled_from(sorted(builders)))]()


@settings(max_examples=90, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.data())
def test_a_sweep_equals_one_edit_at_a_time(data: st.DataObject) -> None:
    model, inputs = data.draw(networks())
    blank: Tensor = model.example_input()  # type: ignore[operator]
    own = model.seeds is not None and inputs.ndim > blank.ndim
    acts = capture(model, inputs.flip(1 if own else 0), "**")
    entries = data.draw(
        st.lists(
            edits(model, acts) | st.lists(edits(model, acts), min_size=1, max_size=3),
            min_size=1,
            max_size=6,
        )
    )
    count = positions_read(model, inputs)
    at = data.draw(st.none() | st.integers(-count, count - 1)) if count else None
    lead = 0 if model.seeds is None else 1  # type: ignore[union-attr]

    def metric(output: Tensor) -> Tensor:
        weights = torch.linspace(-1, 1, output[(0,) * (lead + 1)].numel(), dtype=output.dtype)
        return output.flatten(lead + 1) @ weights

    expected = one_at_a_time(model, inputs, entries, metric, at)
    before = hooks_of(model)
    swept = sweep(model, inputs, entries, metric, at=at)
    assert hooks_of(model) == before
    bound = BOUNDS[next(model.parameters()).dtype]
    np.testing.assert_allclose(swept.values, expected, rtol=bound, atol=bound * (1 + np.abs(expected).max()))


def small_transformer(**changes: Any) -> Transformer:
    config: dict[str, Any] = {
        "vocabulary": 11,
        "context": 9,
        "layers": 3,
        "d_model": 12,
        "heads": 2,
        "d_mlp": 10,
    }
    return Transformer(TransformerConfig(**config | changes)).double().eval()


def some_tokens(examples: int = 4, length: int = 7) -> Tensor:
    return torch.randint(11, (examples, length), generator=seeded(5))


def difference(logits: Tensor) -> Tensor:
    return logits[..., 1] - logits[..., 2]


def grid(model: nn.Module, hooks: str, source: Tensor) -> list[Edit]:
    acts = capture(model, source, hooks)
    return [patch(name, acts, pos=pos) for name in acts for pos in range(acts[name].sizes["pos"])]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_draws_at_a_recurrent_layer_are_the_same_however_often_its_hook_is_called(cell: Any) -> None:
    model = Recurrent(RecurrentConfig(units=4, outputs=3, cell=cell, features=5, answers="each")).double()
    inputs = torch.randn(4, 7, 5, generator=seeded(3), dtype=torch.float64)
    hook, acts = "layers.0.hook_h", capture(model, inputs, "layers.0.hook_h")
    drawn = [add_noise(hook, 1.0, draw=4, pos=4), resample(hook, pos=4), resample(hook, acts, pos=4)]
    entries = [*drawn, add_noise(hook, 1.0, pos=0)]  # the last has the steps of all taken from the first on
    expected = one_at_a_time(model, inputs, entries, lambda out: out.sum((-2, -1)))
    swept = sweep(model, inputs, entries, lambda out: out.sum((-2, -1)))
    np.testing.assert_allclose(swept, expected, atol=1e-12)
    for edit, without in zip(entries, expected, strict=True):
        with torch.enable_grad(), edited(model, edit):  # gradients have every step taken again
            found = model(inputs).sum((-2, -1)).detach()
        np.testing.assert_allclose(found, without, atol=1e-12)


def test_a_generator_that_goes_on_draws_once_a_pass_at_a_recurrent_layer_too() -> None:
    model = Recurrent(RecurrentConfig(units=4, outputs=3, cell="gru", features=5, answers="each")).double()
    inputs = torch.randn(4, 7, 5, generator=seeded(3), dtype=torch.float64)
    passes = []
    for gradients in (False, True):
        going_on = seeded(9)
        edit = add_noise("layers.0.hook_h", 1.0, draw=going_on, pos=4)
        with torch.set_grad_enabled(gradients), edited(model, edit):
            passes.append(torch.stack([model(inputs).detach() for _ in range(2)]))
        beside = seeded(9)
        for _ in range(2):
            torch.randn(4, 7, 4, generator=beside, dtype=torch.float64)
        assert torch.equal(going_on.get_state(), beside.get_state())
    torch.testing.assert_close(passes[0], passes[1], rtol=0, atol=1e-12)
    assert not torch.equal(passes[0][0], passes[0][1])


def test_results_say_what_was_edited_and_where() -> None:
    model, tokens = small_transformer(), some_tokens()
    entries = [
        zero("blocks.1.attn.hook_z", head=1, pos=2),
        [zero("hook_embed", pos=0), zero("hook_logits", pos=-1)],
    ]
    swept = sweep(model, tokens, entries, difference, at=-1)
    assert swept.dims == ("edit", "example")
    assert swept["hook"].values.tolist() == ["blocks.1.attn.hook_z", "hook_embed + hook_logits"]
    assert swept["layer"].values.tolist() == [1, -1]
    assert swept["pos"].values.tolist() == ["2", "0 + -1"]
    assert swept["head"].values.tolist() == ["1", ""]


def test_only_positions_that_can_change_and_logits_that_are_read_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, tokens = small_transformer(), some_tokens()
    last = grid(model, "blocks.1.hook_resid_pre", tokens.flip(0))[-1]
    expected = one_at_a_time(model, tokens, [last], difference, -1)
    asked: list[Any] = []
    monkeypatch.setattr(
        "interp.writing.passes.Passing._forward",
        lambda self, x, start, first, **_: (
            asked.append((start, first, x.shape[1]))
            or self.model(x, start_at_layer=start, first_pos=first, past=self.clean.past, at=self.at)
        ),
    )
    np.testing.assert_allclose(sweep(model, tokens, [last], difference, at=-1), expected, atol=1e-12)
    assert asked == [(1, 6, 1)]


def test_few_runs_share_one_pass_and_each_joins_it_where_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = small_transformer(), some_tokens()
    entries = [*grid(model, "blocks.*.hook_resid_pre", tokens.flip(0)), zero("blocks.1.hook_mlp_out")]
    stages, forward = [], Passing._forward

    def noted(self: Passing, x: Tensor, start: int, first: int, **more: Any) -> Tensor:
        stages.append((start, more["stop"], len(x) // 4))
        return forward(self, x, start, first, **more)

    monkeypatch.setattr(Passing, "_forward", noted)
    swept = sweep(model, tokens, entries, difference, at=-1)
    assert stages == [(0, 1, 7), (1, 2, 15), (2, None, 22)]  # layer, where the next join, runs
    np.testing.assert_allclose(swept, one_at_a_time(model, tokens, entries, difference, -1), atol=1e-12)


@pytest.mark.parametrize("seeds", [0, [0, 1]])
def test_examples_that_an_edit_leaves_as_they_were_are_not_run_again(
    seeds: int | list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MLP(MLPConfig((6, 5, 4, 3), initialisation="kaiming"), seeds=seeds).double().eval()
    inputs = torch.rand(7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    post = capture(model, inputs, "layers.0.hook_post")["layers.0.hook_post"].values
    entries = [zero("layers.0.hook_post", neuron=neuron) for neuron in range(5)]
    awake, rows = (post != 0).reshape(-1, 7, 5).any(axis=0), []
    forward = Passing._forward
    monkeypatch.setattr(
        Passing,
        "_forward",
        lambda *given, changed: rows.append(len(changed[0])) or forward(*given, changed=changed),
    )
    swept = sweep(model, inputs, entries, lambda output: output[..., 1])
    assert sum(rows) == awake.sum() < 35
    np.testing.assert_allclose(
        swept, one_at_a_time(model, inputs, entries, lambda output: output[..., 1], None), atol=1e-12
    )


def test_somebody_elses_hooks_are_in_force_and_stay() -> None:
    model, tokens = small_transformer(), some_tokens()
    entries = grid(model, "blocks.1.hook_resid_pre", tokens.flip(0))
    bias = torch.randn(4, 1, 12, generator=seeded(2), dtype=torch.float64)
    handle = model.hook_dict["blocks.2.hook_mlp_out"].register_forward_hook(lambda _, __, out: out + bias)
    before = hooks_of(model)
    expected = one_at_a_time(model, tokens, entries, difference, -1)
    np.testing.assert_allclose(sweep(model, tokens, entries, difference, at=-1), expected, atol=1e-12)
    assert hooks_of(model) == before
    handle.remove()
    with edited(model, steer("blocks.0.hook_resid_post", torch.ones(12), pos=3)):
        inside = one_at_a_time(model, tokens, entries, difference, -1)
        np.testing.assert_allclose(sweep(model, tokens, entries, difference, at=-1), inside, atol=1e-12)


@pytest.mark.parametrize(
    "whole", [np.int64(-1), np.array(-1), torch.tensor(-1)], ids=["numpy", "array", "torch"]
)
def test_a_position_is_any_whole_number(whole: Any) -> None:
    model, tokens = small_transformer(), some_tokens()
    swept = [sweep(model, tokens, [zero("hook_embed", pos=3)], difference, at=at) for at in (-1, whole)]
    np.testing.assert_array_equal(*swept)


@pytest.mark.parametrize("hook", ["blocks.2.hook_attn_out", "hook_logits", "blocks.2.attn.hook_pattern"])
def test_an_edit_that_mixes_positions_sees_all_of_them_whichever_is_read(hook: str) -> None:
    model, tokens = small_transformer(), some_tokens()
    axis = "query_pos" if hook.endswith("pattern") else "pos"
    along = xr.DataArray(np.arange(14.0).reshape(2, 7) ** 2, dims=("rank", axis))
    entries = [
        Edit(hook, mixed),
        project_out(hook, along),
        zero(hook, **{axis: 2}),
        zero("hook_embed", pos=6),
    ]
    for at in (-1, 2):
        expected = one_at_a_time(model, tokens, entries, difference, at)
        swept = sweep(model, tokens, entries, difference, at=at)
        np.testing.assert_allclose(swept, expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["function", "partial"])
def test_hooks_attached_with_transformer_lens_own_method_are_in_force(kind: str) -> None:
    model, tokens = small_transformer(), some_tokens()

    def less_their_mean(resid: Tensor, hook: object, factor: float = 1.0) -> Tensor:
        # over the batch: edited runs side by side would change it
        return resid - factor * resid.mean(0, keepdim=True)

    own = less_their_mean if kind == "function" else partial(less_their_mean, factor=0.5)
    model.hook_dict["blocks.0.hook_resid_post"].add_hook(own)  # type: ignore[operator]
    entries = [zero("blocks.0.attn.hook_z", pos=4), zero("blocks.0.hook_mlp_out", pos=1)]
    expected = one_at_a_time(model, tokens, entries, difference, -1)
    np.testing.assert_allclose(sweep(model, tokens, entries, difference, at=-1), expected, atol=1e-12)


def test_a_users_own_module_is_run_one_edit_at_a_time() -> None:
    inputs = torch.arange(6.0).reshape(3, 2)
    swept = sweep(
        HandNetwork(), inputs, [zero("double.hook_post"), scale("hook_input", 2.0)], lambda out: out
    )
    assert swept.values.tolist() == [[2, 2, 2], [6, 22, 38]]


@pytest.mark.parametrize(
    ("entries", "given", "said"),
    [
        ([], {}, "at least one entry"),
        ([[]], {}, "each entry at least one edit"),
        ([zero("blocks.0.hook_resid_pri")], {}, "Nearest: blocks.0.hook_resid_pre"),
        ([zero("hook_embed", pos=9)], {}, "pos=9 is beyond"),
        ([zero("hook_embed")], {"at": 7}, "at= is one of the 7 positions"),
        ([zero("hook_embed")], {"at": np.int64(7)}, "at= is one of the 7 positions"),
        ([zero("hook_embed")], {"at": True}, "at= is a position, a whole number; given True"),
        ([zero("hook_embed")], {"at": np.True_}, "at= is a position, a whole number"),
        ([zero("hook_embed")], {"at": 1.0}, "at= is a position, a whole number; given 1.0"),
        ([zero("hook_embed")], {"memory": 0}, "memory= is a number of bytes"),
        (
            [zero("hook_embed")],
            {"metric": lambda out: out.mean()},
            r"it gives a number for each example, \[4\]",
        ),
        ([resample("hook_embed", draw=torch.Generator())], {}, "draws from a generator that goes on"),
        ([zero("hook_embed"), Edit("blocks.1.hook_mlp_out", lambda x, site: x[:1])], {}, "changed the shape"),
    ],
)
def test_what_cannot_be_swept_is_refused_and_no_hook_left(
    entries: list[Any], given: dict[str, Any], said: str
) -> None:
    model, metric = small_transformer(), given.pop("metric", difference)
    with pytest.raises(Refused, match=said):
        sweep(model, some_tokens(), entries, metric, **{"at": -1} | given)
    assert not any(hooks_of(model).values())


@pytest.mark.real_data
def test_a_pretrained_network_is_swept_layer_by_layer(data_dir: Path) -> None:
    model = load_pretrained(data_dir / "stories260K", dtype="float64")
    tokens = model.encode("Once upon a time there was").repeat(3, 1)
    tokens[1:] = tokens[1:].flip(1)
    entries = [
        *grid(model, "blocks.4.hook_{resid_pre,attn_out}", tokens.flip(0)),
        zero("blocks.2.attn.hook_pattern", head=1),
        zero("hook_logits", token=1),
    ]
    expected = one_at_a_time(model, tokens, entries, difference, -1)
    np.testing.assert_allclose(sweep(model, tokens, entries, difference, at=-1), expected, atol=1e-12)
