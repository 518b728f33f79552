"""The encoder-decoder against torch, and what it writes against all that could be written."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.seq2seq import Seq2Seq
from models.networks.seq2seq_config import PAD, Seq2SeqConfig
from models.networks.translating import translate
from models.refusals import Refused
from models.seeds import generator

CONFIG = Seq2SeqConfig(9, 5, 7, 4, layers=2, d_model=8, heads=2, d_mlp=12)
SOURCES = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, PAD, PAD], [2, PAD, PAD, PAD, PAD]])
TARGETS = torch.tensor([[1, 2, 3, 4], [1, 5, 6, PAD], [1, 3, PAD, PAD]])


@pytest.fixture
def model() -> Seq2Seq:
    return Seq2Seq(CONFIG).double()


def passing(model: Seq2Seq, inputs: Tensor, *names: str) -> list[Tensor]:
    seen: dict[str, Tensor] = {}
    handles = [
        model.hook_dict[name].register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
        for name in names
    ]
    model(inputs)
    for handle in handles:
        handle.remove()
    return [seen[name] for name in names]


@pytest.mark.parametrize("listening", [False, True], ids=["fast", "laid open"])
def test_cross_attention_is_torchs_scaled_dot_product_attention(model: Seq2Seq, listening: bool) -> None:
    point = "decoder.blocks.1.cross_attn.hook_"
    asked = [point + part for part in ("q", "k", "v", "z", *(["pattern"] if listening else []))]
    q, k, v, z, *_ = passing(model, torch.cat([SOURCES, TARGETS], dim=1), *asked)
    queries, keys, values = (x.transpose(1, 2) for x in (q, k, v))
    seen = (SOURCES != PAD)[:, None, None]
    expected = F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen).transpose(1, 2)
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-12)
    assert (q.shape[1], k.shape[1]) == (4, 5)


def test_keys_come_from_the_source_and_queries_from_the_target(model: Seq2Seq) -> None:
    points = ["decoder.blocks.0.cross_attn.hook_q", "decoder.blocks.0.cross_attn.hook_k"]
    q, k = passing(model, torch.cat([SOURCES, TARGETS], dim=1), *points)
    other_source = passing(model, torch.cat([SOURCES.flip(0), TARGETS], dim=1), *points)
    other_target = passing(model, torch.cat([SOURCES, TARGETS.flip(0)], dim=1), *points)
    assert torch.equal(q, other_source[0])
    assert torch.equal(k, other_target[1])
    assert not torch.equal(k, other_source[1])
    assert not torch.equal(q, other_target[0])


def test_attention_reads_the_encoders_last_stream(model: Seq2Seq) -> None:
    weights = dict(model.named_parameters())
    W_V, b_V = (weights[f"decoder.blocks.0.cross_attn.{name}"] for name in ("W_V", "b_V"))
    (v,) = passing(model, torch.cat([SOURCES, TARGETS], dim=1), "decoder.blocks.0.cross_attn.hook_v")
    memory, _ = model.encode(SOURCES)
    torch.testing.assert_close(v.flatten(-2), memory @ W_V + b_V)


def test_padding_on_either_side_changes_nothing(model: Seq2Seq) -> None:
    together = model(torch.cat([SOURCES, TARGETS], dim=1))
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        own_source, own_target = source[source != PAD][None], target[target != PAD][None]
        alone = model.decode(own_target, *model.encode(own_source))
        torch.testing.assert_close(together[row, : own_target.shape[1]], alone[0], rtol=0, atol=1e-12)


def test_a_target_token_changes_nothing_before_it(model: Seq2Seq) -> None:
    before = model(torch.cat([SOURCES[:1], TARGETS[:1]], dim=1))
    changed = TARGETS[:1].clone()
    changed[0, 2] = 6
    after = model(torch.cat([SOURCES[:1], changed], dim=1))
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.equal(before[:, 2], after[:, 2])


def test_every_source_token_reaches_the_first_target_position(model: Seq2Seq) -> None:
    whole = torch.cat([SOURCES[:1], TARGETS[:1]], dim=1)
    for place in range(5):
        changed = whole.clone()
        changed[0, place] = 8
        assert (model(changed)[0, 0] - model(whole)[0, 0]).abs().max() > 1e-9


WRONG: dict[str, tuple[Any, str]] = {
    "no target": (SOURCES, "at least 1 of target; given shape"),
    "padding first": (torch.tensor([[PAD, 1, 1, 1, 1, 1]]), "padding stands at the end"),
    "padding in between": (torch.tensor([[1, PAD, 1, 1, 1, 1]]), "real tokens after padding"),
    "padding before the target": (torch.tensor([[1, 1, 1, 1, 1, PAD, 1]]), "padding stands at the end"),
    "a token of the other vocabulary": (torch.tensor([[1, 1, 1, 1, 1, 8]]), "no token 8"),
    "too long a target": (torch.ones(1, 10, dtype=torch.int64), "context is 4"),
}


@pytest.mark.parametrize("what", WRONG)
def test_pairs_that_make_no_sense_are_refused(model: Seq2Seq, what: str) -> None:
    inputs, complaint = WRONG[what]
    with pytest.raises(Refused, match=complaint):
        model(inputs)


def test_a_network_without_layers_is_refused() -> None:
    with pytest.raises(Refused, match="Cross-attention takes a layer"):
        Seq2SeqConfig(9, 5, 7, 4, layers=0)


@torch.no_grad()
def log_probability(model: Seq2Seq, source: Tensor, written: tuple[int, ...]) -> float:
    """Of a target, its end included, padding never an option: by one whole pass over each."""
    target = torch.tensor([[1, *written[:-1]]])
    logits = model(torch.cat([source[None], target], dim=1))[0]
    logits[:, PAD] = -torch.inf
    return float(logits.log_softmax(-1)[range(len(written)), list(written)].sum())


def all_targets(longest: int, tokens: int) -> list[tuple[int, ...]]:
    """Everything that can be written: ended by token 1, or as long as the context."""
    inner = range(2, tokens)
    ended = [(*row, 1) for n in range(longest) for row in itertools.product(inner, repeat=n)]
    return ended + list(itertools.product(inner, repeat=longest))


@pytest.mark.parametrize("length_power", [0.0, 1.0])
def test_a_beam_of_all_beginnings_finds_the_likeliest_target(length_power: float) -> None:
    model = Seq2Seq(Seq2SeqConfig(9, 5, 5, 2, d_model=8, heads=2, d_mlp=12, init_scale=3.0)).double()
    found = translate(model, SOURCES, beams=4, length_power=length_power)
    for source, written in zip(SOURCES, found, strict=True):
        scores = {
            target: log_probability(model, source, target) / len(target) ** length_power
            for target in all_targets(2, 5)
        }
        assert tuple(written[written != PAD].tolist()) == max(scores, key=lambda target: scores[target])


def test_greedy_takes_the_likeliest_token_of_whole_passes(model: Seq2Seq) -> None:
    written = translate(model, SOURCES)
    for source, row in zip(SOURCES, written, strict=True):
        target = [1]
        while len(target) <= 4 and (len(target) == 1 or target[-1] != 1):
            logits = model(torch.cat([source[None], torch.tensor([target])], dim=1))[0, -1]
            target.append(int(logits[1:].argmax()) + 1)
        assert row[row != PAD].tolist() == target[1:]


def test_members_write_what_each_writes_alone() -> None:
    several = Seq2Seq(CONFIG, seeds=(3, 5)).double()
    for beams in (1, 3):
        together = translate(several, SOURCES, beams=beams)
        for place, seed in enumerate((3, 5)):
            member = several.member(seed)
            assert isinstance(member, Seq2Seq)
            alone = translate(member, SOURCES, beams=beams)
            width = min(alone.shape[-1], together.shape[-1])
            assert torch.equal(together[place, :, :width], alone[:, :width])
            assert not together[place, :, width:].any()


def test_an_edit_acts_on_what_is_written(model: Seq2Seq) -> None:
    noise = torch.randn(8, generator=generator(0, "edit"), dtype=torch.float64)
    handle = model.hook_dict["encoder.hook_embed"].register_forward_hook(lambda _, __, out: out + 5 * noise)
    changed = translate(model, SOURCES)
    handle.remove()
    assert not torch.equal(changed, translate(model, SOURCES))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"boundary": 0}, "boundary"),
        ({"beams": 0}, "beams"),
        ({"beams": 7}, "beams"),
        ({"length_power": -1.0}, "power"),
    ],
    ids=str,
)
def test_ways_of_writing_that_make_no_sense_are_refused(
    model: Seq2Seq, wrong: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(Refused, match=complaint):
        translate(model, SOURCES, **wrong)
