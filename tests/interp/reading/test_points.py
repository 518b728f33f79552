"""Names of hook points: patterns against Python's own glob, refusals, axes, layers."""

from __future__ import annotations

import fnmatch

import pytest
from hand_network import HandNetwork, NamedPoint, Point
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from interp.reading.points import axes_of, hook_point, hook_points, layer_of, matching, stop_after
from interp.refusals import Refused
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig

NAMES = (
    "hook_embed",
    *(
        f"blocks.{layer}.{rest}"
        for layer in range(3)
        for rest in ("hook_resid_pre", "attn.hook_q", "attn.hook_k")
    ),
    "hook_logits",
)


def test_a_star_stays_within_one_dotted_part() -> None:
    assert matching("blocks.*.hook_*", NAMES) == tuple(f"blocks.{n}.hook_resid_pre" for n in range(3))
    assert matching("*", NAMES) == ("hook_embed", "hook_logits")


def test_two_stars_cross_dots() -> None:
    assert matching("**", NAMES) == NAMES
    assert matching("**.hook_q", NAMES) == tuple(f"blocks.{n}.attn.hook_q" for n in range(3))


def test_braces_and_sets_choose() -> None:
    assert matching("blocks.[0-1].attn.hook_{q,k}", NAMES) == (
        "blocks.0.attn.hook_q",
        "blocks.0.attn.hook_k",
        "blocks.1.attn.hook_q",
        "blocks.1.attn.hook_k",
    )
    assert matching("blocks.[!0].attn.hook_q", NAMES) == ("blocks.1.attn.hook_q", "blocks.2.attn.hook_q")
    assert matching("blocks.2.{attn.hook_{q,k},hook_resid_pre}", NAMES) == NAMES[7:10]


def test_a_list_gives_network_order_without_repeats() -> None:
    assert matching(["hook_logits", "hook_*", "hook_embed"], NAMES) == ("hook_embed", "hook_logits")


def test_of_two_groups_of_braces_each_alternative_must_match_but_not_each_pair() -> None:
    names = ("encoder.attn.hook_q", "decoder.attn.hook_q", "decoder.cross_attn.hook_q")
    assert matching("{encoder,decoder}.{attn,cross_attn}.hook_q", names) == names


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("blocks.*.attn.hook_p", "Nearest: blocks.2.attn.hook_q"),
        ("blocks.*.attn.hook_{q,kk}", "alternative 'kk' matches nothing"),
        (["hook_embed", "hook_embedd"], "Nearest: hook_embed"),
        ("*.hook_q", r"'\*\*.hook_q' would match"),
        ("blocks.{0,1", "never closes"),
        ("blocks.0}", "never opened"),
        ([], "No hook pattern was given"),
        ("", "There is no hook ''"),
    ],
)
def test_what_matches_nothing_is_refused(pattern: str | list[str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        matching(pattern, NAMES)


part = st.text("abq_01", min_size=1, max_size=3)
dotted = st.lists(part, min_size=1, max_size=3).map(".".join)


@given(st.lists(dotted, min_size=1, max_size=8, unique=True), st.text("abq_01*?.", min_size=1, max_size=6))
def test_a_glob_without_dots_to_cross_matches_as_pythons_own(names: list[str], pattern: str) -> None:
    pattern = pattern.replace("**", "*")
    expected = tuple(name for name in names if _same_parts(name, pattern))
    if expected:
        assert matching(pattern, names) == expected
    else:
        with pytest.raises(Refused):
            matching(pattern, names)


def _same_parts(name: str, pattern: str) -> bool:
    """The witness: part by part, by the standard library's glob."""
    parts, globs = name.split("."), pattern.split(".")
    return len(parts) == len(globs) and all(map(fnmatch.fnmatchcase, parts, globs))


@given(st.lists(dotted, min_size=1, max_size=8, unique=True), st.data())
def test_every_name_is_a_pattern_for_itself(names: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.sampled_from(names), min_size=1))
    assert set(matching(sorted(chosen), names)) == chosen
    assert set(matching("{" + ",".join(sorted(chosen)) + "}", names)) == chosen


def test_an_extra_dimension_of_a_population_is_the_seed() -> None:
    point = NamedPoint("example", "neuron")
    assert axes_of("h", point, ndim=2, seeds=(1, 2)) == ("example", "neuron")
    assert axes_of("h", point, ndim=3, seeds=(1, 2)) == ("seed", "example", "neuron")


@pytest.mark.parametrize(("ndim", "seeds"), [(3, None), (1, (1, 2)), (4, (1, 2))])
def test_axes_that_contradict_the_tensor_are_refused(ndim: int, seeds: tuple[int, ...] | None) -> None:
    with pytest.raises(Refused, match=r"'h' declares the axes \[example, neuron\]"):
        axes_of("h", NamedPoint("example", "neuron"), ndim=ndim, seeds=seeds)


def test_a_point_that_declares_nothing_gets_numbered_axes() -> None:
    assert axes_of("h", Point(), ndim=3, seeds=None) == ("example", "axis_1", "axis_2")


def test_layers_are_read_from_names() -> None:
    names = ("hook_input", "hook_pos_embed", "layers.2.hook_post", "blocks.11.attn.hook_q", "hook_output")
    assert [layer_of(name) for name in names] == [-1, -1, 2, 11, None]
    assert layer_of("encoder.blocks.1.hook_resid_pre") is None


def test_a_pass_stops_after_the_last_layer_asked_for() -> None:
    model = MLP(MLPConfig(sizes=(3, 2, 2, 2)))
    assert stop_after(model, ["hook_input"]) == 0
    assert stop_after(model, ["layers.0.hook_pre", "layers.1.hook_pre"]) == 2
    assert stop_after(model, ["layers.0.hook_pre", "hook_logits"]) is None
    assert stop_after(HandNetwork(), ["hook_input"]) is None


def test_a_model_without_hook_points_is_refused() -> None:
    with pytest.raises(Refused, match="A Linear has no `hook_dict`"):
        hook_points(nn.Linear(2, 2))


def test_a_mistyped_hook_point_is_refused_with_the_nearest() -> None:
    with pytest.raises(Refused, match=r"Nearest: double\.hook_post"):
        hook_point(HandNetwork(), "doubel.hook_post")
