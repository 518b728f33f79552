"""Every effect beside the same number made otherwise: by a hook, by hand-changed weights, by torch alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from known_facts import Bench, own_answers
from sklearn.linear_model import RidgeClassifier
from torch import Tensor

from interp.locating.direct import direct_logit_attribution
from interp.locating.localization import drift as drifting
from interp.locating.localization import gradients as slopes
from interp.locating.localization import reading_out, tracing
from interp.locating.localization.ablation import (
    additive,
    additive_ablation,
    mean_ablation,
    resample_ablation,
)
from interp.locating.localization.asking import Asked, margins
from interp.locating.localization.drift import drift
from interp.locating.localization.gradients import (
    gradient_norm_ratio,
    gradient_times_activation,
    integrated_gradients_over_neurons,
)
from interp.locating.localization.inquiry import Inquiry
from interp.locating.localization.parts import Part, parts_of
from interp.locating.localization.reading_out import direct_attribution, key_value_reading, readability
from interp.locating.localization.tracing import causal_tracing
from interp.locating.localization.weights import clipping, shrinking
from models.networks.handmade import lookup_network

PARTS = ("blocks.0.attn[1]", "blocks.1.mlp[3,5]", "blocks.0.mlp", "blocks.1.attn.W_V")


@pytest.fixture(scope="module")
def inquiry() -> Inquiry:
    """One untrained network of float64, sure of its answers."""
    model, facts, reference = own_answers(activation="gelu")
    return Inquiry.of(model.double(), facts, reference)


@pytest.fixture(scope="module")
def population(bench: Bench) -> Inquiry:
    return Inquiry.of(bench.plantings["blocks.1.mlp"].model, bench.planted, bench.known)


def by_hooks(inquiry: Inquiry, **hooks: Callable[[Tensor], Tensor]) -> Tensor:
    """The margins with functions of what passes some points put in its place, by torch's own hooks."""
    model = inquiry.model
    handles = [
        model.hook_dict[name].register_forward_hook(
            lambda _m, _i, output, change=change: change(output.clone())
        )  # type: ignore[union-attr, operator, misc]
        for name, change in hooks.items()
    ]
    with torch.no_grad():
        logits = model(inquiry.asked.inputs)
    for handle in handles:
        handle.remove()
    places = inquiry.asked.positions["answer_pos"]
    return margins(logits[..., torch.arange(len(places)), places, :], inquiry.asked.targets)


def passing(inquiry: Inquiry, asked: Asked, hook: str) -> Tensor:
    seen: list[Tensor] = []
    handle = inquiry.model.hook_dict[hook].register_forward_hook(lambda *given: seen.append(given[2]))  # type: ignore[union-attr, operator]
    with torch.no_grad():
        inquiry.model(asked.inputs)
    handle.remove()
    return seen[0]


def put(part: Part, value: Tensor) -> Callable[[Tensor], Tensor]:
    """Puts a value where the part's heads or neurons are."""

    def change(output: Tensor) -> Tensor:
        value_there = value.expand_as(output)
        if "head" in part.where:
            output[..., part.where["head"], :] = value_there[..., part.where["head"], :]
        elif "neuron" in part.where:
            output[..., part.where["neuron"]] = value_there[..., part.where["neuron"]]
        else:
            output = value_there
        return output

    return change


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", PARTS)
def test_mean_ablation_is_a_hook_that_puts_the_mean_of_other_facts(inquiry: Inquiry, name: str) -> None:
    part = parts_of(inquiry.model, [name, "embed"])[0]
    mean = passing(inquiry, inquiry.others, str(part.hook)).mean(0)
    expected = inquiry.untouched - by_hooks(inquiry, **{str(part.hook): put(part, mean)})
    close(mean_ablation(inquiry, [part])[0], expected)
    assert float(expected.abs().max()) > 0.01


def test_resample_ablation_puts_in_what_is_there_for_another_fact(inquiry: Inquiry) -> None:
    """With one other fact left there is no choice."""
    one = replace(inquiry, others=inquiry.others.rows(torch.tensor([4])))
    part = parts_of(inquiry.model, ["blocks.0.mlp", "embed"])[0]
    there = passing(inquiry, one.others, str(part.hook))
    expected = inquiry.untouched - by_hooks(inquiry, **{str(part.hook): put(part, there)})
    close(resample_ablation(one, [part])[0], expected)
    assert not torch.allclose(resample_ablation(inquiry, [part])[0], expected)


def test_what_tokens_alone_determine_is_left_by_additive_ablation() -> None:
    """An output that is a sum of vectors of the tokens so far comes back; a product of two does not."""
    every = torch.cartesian_prod(torch.arange(4), torch.arange(4), torch.arange(4))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    fitted, new = (Asked(every[rows], rows, {}) for rows in (order[:48], order[48:]))
    vectors = torch.randn(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def output(asked: Asked) -> Tensor:
        return torch.stack([vectors[pos][asked.inputs[:, pos]] for pos in range(3)], dim=1).cumsum(1)

    close(additive(output(fitted), fitted, new), output(new), 0.01)
    first, second = (asked.inputs[:, 0] == asked.inputs[:, 1] for asked in (fitted, new))
    crossed = first.double()[:, None, None].expand(-1, 3, 1)
    missed = additive(crossed, fitted, new)[:, 1, 0] - second.double()
    assert float(missed.abs().mean()) > 0.2


def test_at_the_first_position_there_is_nothing_for_additive_ablation_to_take(inquiry: Inquiry) -> None:
    """The first layer's MLP sees one token there; what it puts out for a token met before is put back."""
    known = passing(inquiry, inquiry.others, "blocks.0.hook_mlp_out")
    real = passing(inquiry, inquiry.asked, "blocks.0.hook_mlp_out")
    made = additive(known, inquiry.others, inquiry.asked)
    met = torch.isin(inquiry.asked.inputs[:, 0], inquiry.others.inputs[:, 0])
    close(made[met, 0], real[met, 0], 0.02)
    assert float((made[:, 2] - real[:, 2]).abs().max()) > 0.2


def test_additive_ablation_is_a_hook_that_puts_that_prediction(inquiry: Inquiry) -> None:
    part = parts_of(inquiry.model, ["blocks.0.attn[1]", "embed"])[0]
    known = passing(inquiry, inquiry.others, str(part.hook))
    made = additive(known.flatten(-2), inquiry.others, inquiry.asked).unflatten(-1, known.shape[-2:])
    expected = inquiry.untouched - by_hooks(inquiry, **{str(part.hook): put(part, made)})
    close(additive_ablation(inquiry, [part])[0], expected)


def test_noise_lies_on_the_subject_alone_and_is_the_same_in_every_seed(population: Inquiry) -> None:
    clean = passing(population, population.asked, "hook_embed")
    _, noise = tracing._spoilt(population, clean)
    changed = noise.change.value.tensor != clean  # type: ignore[attr-defined]
    assert bool(changed[..., :2, :].all())
    assert not bool(changed[..., 2, :].any())
    added = (noise.change.value.tensor - clean)[..., :2, :].flatten(1)  # type: ignore[attr-defined]
    assert float(torch.corrcoef(added).min()) > 0.999


def test_noise_is_the_weakest_that_loses_four_facts_of_five_in_each_seed(population: Inquiry) -> None:
    clean = passing(population, population.asked, "hook_embed")
    spoilt, noise = tracing._spoilt(population, clean)
    added = noise.change.value.tensor - clean  # type: ignore[attr-defined]
    unit = tracing._noise(population, clean)
    for member, (known, margin) in enumerate(zip(population.untouched > 0, spoilt, strict=True)):
        assert float((margin[known] <= 0).double().mean()) >= 0.8
        strength = float(added[member].norm() / unit.norm() / clean[member].std())
        assert min(abs(strength - allowed) for allowed in tracing.STRENGTHS) < 1e-3


def test_where_no_noise_suffices_the_strongest_is_taken_and_nothing_recovers() -> None:
    """Without attention the subject does not reach the answer."""
    model, facts, reference = own_answers(heads=0, layers=1)
    inquiry = Inquiry.of(model, facts, reference)
    assert not causal_tracing(inquiry, parts_of(model, ["blocks.0.mlp", "embed"])[:1]).any()


def test_causal_tracing_is_two_hooks(inquiry: Inquiry) -> None:
    part = parts_of(inquiry.model, ["blocks.0.mlp", "embed"])[0]
    clean = passing(inquiry, inquiry.asked, str(part.hook))
    spoilt, noise = tracing._spoilt(inquiry, passing(inquiry, inquiry.asked, "hook_embed"))
    noisy = noise.change.value.tensor  # type: ignore[attr-defined]
    close(by_hooks(inquiry, hook_embed=lambda _: noisy), spoilt)
    both = by_hooks(inquiry, **{"hook_embed": lambda _: noisy, str(part.hook): lambda _: clean})
    close(causal_tracing(inquiry, [part])[0], both - spoilt)


@pytest.mark.parametrize("name", PARTS)
def test_gradient_times_activation_is_the_slope_towards_the_mean(inquiry: Inquiry, name: str) -> None:
    part, step = parts_of(inquiry.model, [name, "embed"])[0], 1e-5
    mean = passing(inquiry, inquiry.others, str(part.hook)).mean(0)
    real = passing(inquiry, inquiry.asked, str(part.hook))
    ahead, back = (
        by_hooks(inquiry, **{str(part.hook): put(part, real + sign * step * (mean - real))})
        for sign in (1, -1)
    )
    close(gradient_times_activation(inquiry, [part])[0], (back - ahead) / (2 * step), 1e-5)


@pytest.mark.parametrize(
    ("name", "hook"), [("blocks.0.mlp", "mlp.hook_post"), ("blocks.1.attn", "attn.hook_z")]
)
def test_integrated_gradients_add_up_to_what_all_neurons_contribute(
    inquiry: Inquiry, name: str, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = parts_of(inquiry.model, [name, "embed"])[:1]
    layer = name.rpartition(".")[0]
    whole = inquiry.untouched - by_hooks(inquiry, **{f"{layer}.{hook}": torch.zeros_like})
    coarse = integrated_gradients_over_neurons(inquiry, parts)[0]
    monkeypatch.setattr(slopes, "STEPS", 60)
    fine = integrated_gradients_over_neurons(inquiry, parts)[0]
    close(fine, whole, 0.02)
    assert float((coarse - whole).abs().mean()) < 0.1 * float(whole.abs().mean())


def test_the_gradients_length_is_what_torch_has_for_each_seed_alone(
    bench: Bench, population: Inquiry
) -> None:
    parts = parts_of(population.model, ["blocks.0.attn[1]", "blocks.1.mlp", "unembed"])
    found = gradient_norm_ratio(population, parts)
    for seed, pairs in enumerate(population.pairs):
        model = population.model.member(seed)  # type: ignore[operator]
        lengths = []
        for side in pairs.unbind(-1):
            model.zero_grad()
            logits = model(population.asked.inputs[side])[:, -1]
            margins(logits, population.asked.targets[side]).mean().backward()
            squares = [
                sum(
                    (dict(model.named_parameters())[name].grad[mask] ** 2).sum()
                    for name, mask in masks.items()
                )
                for masks in (model.weights_of(part.name) for part in parts)
            ]
            lengths.append(torch.stack(squares).sqrt())  # type: ignore[arg-type]
        close(found[seed], (lengths[0] / lengths[1]).log(), 1e-3)


def changed_by_hand(inquiry: Inquiry, name: str, change: Callable[[Tensor], Tensor]) -> Tensor:
    model: Any = copy.deepcopy(inquiry.model)
    with torch.no_grad():
        for parameter, mask in model.weights_of(name).items():
            value = dict(model.named_parameters())[parameter]
            value[mask] = change(value[mask])
        return margins(model(inquiry.asked.inputs)[:, -1], inquiry.asked.targets)


@pytest.mark.parametrize("name", ["embed", "blocks.0.attn[1]", "blocks.1.mlp.W_in", "unembed"])
def test_shrinking_and_clipping_are_weights_changed_by_hand(inquiry: Inquiry, name: str) -> None:
    parts = parts_of(inquiry.model, [name, "blocks.0.attn"])[:1]
    shrunk = changed_by_hand(inquiry, name, lambda own: 0.8 * own)
    close(shrinking(inquiry, parts)[0], inquiry.untouched - shrunk)
    clipped = changed_by_hand(
        inquiry,
        name,
        lambda own: own.clamp(-1.5 * own.square().mean() ** 0.5, 1.5 * own.square().mean() ** 0.5),
    )
    close(clipping(inquiry, parts)[0], inquiry.untouched - clipped)


def test_a_lone_weight_is_not_cut_down_to_nothing(inquiry: Inquiry) -> None:
    """One neuron has one bias: it has no deviation, but it has a size."""
    with torch.no_grad():
        model: Any = copy.deepcopy(inquiry.model)
        model.blocks[0].mlp.b_in.fill_(0.7)
    parts = parts_of(model, ["blocks.0.mlp[3]", "embed"])[:1]
    changed = drifting.changed_weights(
        model, parts[0], lambda value, size: value.clamp(-1.5 * size, 1.5 * size)
    )
    assert torch.equal(changed["blocks.0.mlp.b_in"], model.blocks[0].mlp.b_in)


def test_drift_moves_the_part_alone_and_its_effect_is_of_those_weights(
    population: Inquiry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drifting, "STEPS", 5)
    part = parts_of(population.model, ["blocks.1.mlp[0:16]", "embed"])[0]
    moved = drifting._drifted(population, part)
    masks, model = part.weights(population.model), copy.deepcopy(population.model)
    for name, value in dict(model.named_parameters()).items():
        if name in moved:
            assert not torch.equal(moved[name][:, masks[name]], value[:, masks[name]])
            assert torch.equal(moved[name][:, ~masks[name]], value[:, ~masks[name]])
            value.data = moved[name]
    logits = model(population.asked.inputs)[:, :, -1].detach()
    expected = population.untouched - margins(logits, population.asked.targets)
    close(drift(population, [part])[:, 0], expected, 1e-3)


def test_drift_begins_with_the_same_noise_in_every_seed_and_repairs_what_it_is_trained_on(
    population: Inquiry, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = parts_of(population.model, ["unembed", "embed"])[0]
    monkeypatch.setattr(drifting, "STEPS", 0)
    noisy = drifting._drifted(population, part)["unembed.W_U"]
    before = dict(population.model.named_parameters())["unembed.W_U"].detach()
    noise = (noisy - before) / before.square().mean((-2, -1), keepdim=True).sqrt()
    close(noise[0], noise[2], 1e-5)
    assert float(noise.std()) == pytest.approx(0.3, rel=0.1)
    spoilt = population.others.margins(population.model, weights={"unembed.W_U": noisy})
    monkeypatch.undo()
    repaired = population.others.margins(population.model, weights=drifting._drifted(population, part))
    assert bool((repaired.mean(-1) > spoilt.mean(-1)).all())


def test_direct_attribution_is_the_share_of_the_true_objects_logit(bench: Bench, population: Inquiry) -> None:
    parts = parts_of(population.model, ["blocks.0.attn", "blocks.0.attn[1]", "blocks.1.mlp", "embed"])
    found = direct_attribution(population, parts)
    due = population.asked.targets[:, None].expand(population.asked.inputs.shape)
    shares = direct_logit_attribution(population.model, population.asked, due)["contribution"].isel(pos=2)
    whole = shares.sel(part=["blocks.0.attn[0]", "blocks.0.attn[1]", "blocks.0.attn.bias"]).sum("part")
    expected = [whole, *(shares.sel(part=name) for name in ("blocks.0.attn[1]", "blocks.1.mlp", "embed"))]
    for place, share in enumerate(expected):
        np.testing.assert_allclose(found[:, place].numpy(), share.transpose("seed", "example"), atol=1e-4)


def test_without_normalisation_it_is_the_output_times_the_unembedding() -> None:
    model, facts, reference = own_answers(normalization="none")
    inquiry = Inquiry.of(model, facts, reference)
    part = parts_of(model, ["blocks.1.mlp", "embed"])[0]
    out = passing(inquiry, inquiry.asked, "blocks.1.hook_mlp_out")[:, -1]
    assert model.unembed.W_U is not None
    expected = (out * model.unembed.W_U.detach()[:, inquiry.asked.targets].T).sum(-1)
    close(direct_attribution(inquiry, [part])[0], expected, 1e-4)


def test_a_probe_reads_a_fact_by_its_distance_from_the_next_best() -> None:
    read = torch.tensor([[3.0, 1.0, 2.0], [0.5, 1.0, 2.0], [-4.0, 5.0, 1.0]])
    found = reading_out._ahead(read, torch.tensor([0, 1, -1]))
    assert found.tolist() == [1.0, -1.0, -9.0]


def test_a_part_is_read_as_scikit_learn_would_from_the_same_outputs(inquiry: Inquiry) -> None:
    part = parts_of(inquiry.model, ["blocks.0.attn[1]", "embed"])[0]
    known, new = (
        part.chosen(passing(inquiry, asked, str(part.hook)))[:, 2].numpy()
        for asked in (inquiry.others, inquiry.asked)
    )
    targets = inquiry.others.targets.numpy()
    twice = np.bincount(targets, minlength=12)[targets] >= 2
    probe = RidgeClassifier(alpha=1.0).fit(known[twice], targets[twice])
    read = np.full((len(new), 12), -np.inf)
    read[:, probe.classes_] = probe.decision_function(new)
    due = inquiry.asked.targets.numpy()
    met = np.isin(due, probe.classes_)
    own = read[np.arange(len(due)), due]
    read[np.arange(len(due)), due] = -np.inf
    found = readability(inquiry, [part])[0].numpy()
    np.testing.assert_allclose(found[met], (own - read.max(1))[met], atol=1e-6)
    assert bool((found[~met] < 0).all())
    assert met.mean() > 0.5


def test_key_value_reading_of_a_memory_made_by_hand() -> None:
    """One neuron holds each fact; of what is active, the share on it is what is read."""
    objects = torch.tensor([[0, 1], [2, 3], [4, 0], [1, 2], [3, 4]])
    made = lookup_network(objects)
    asked = torch.cartesian_prod(torch.arange(5), 5 + torch.arange(2))
    every = Asked(asked, 7 + objects.flatten(), {"answer_pos": torch.ones(10, dtype=torch.int64)})
    count = torch.arange(len(every))
    inquiry = Inquiry(made.model, every, 5, every, count, torch.zeros_like(count))
    active = passing(inquiry, every, "blocks.0.mlp.hook_post")[:, 1].abs()
    assert bool((active.diagonal() > 0.9).all())
    parts = parts_of(made.model, ["blocks.0.mlp", "blocks.0.mlp[0:10]", "blocks.0.mlp[0]"])
    whole, memory, first = key_value_reading(inquiry, parts)
    close(whole, active.diagonal() / active.sum(-1), 1e-6)
    close(memory, whole, 1e-6)
    close(first[0], whole[0], 1e-6)
    assert not bool(first[1:].any())
