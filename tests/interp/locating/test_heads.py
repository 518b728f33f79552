"""Scores of heads, on a network whose heads were set by hand and against sums written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from interp.locating.heads import copying, head_scores
from interp.reading.capture import capture
from interp.refusals import Refused
from models.networks.handmade import induction_network
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

ROWS = torch.tensor([[0, 3, 5, 2, 3, 5, 2, 3, 5], [0, 1, 2, 3, 4, 1, 2, 3, 4]])


def small(seeds: int | tuple[int, ...] = 3) -> Transformer:
    config = TransformerConfig(vocabulary=9, context=9, layers=2, d_model=16, heads=2, d_mlp=0)
    return Transformer(config, seeds=seeds)


def test_the_heads_set_by_hand_are_told_apart() -> None:
    """Head 0 of layer 0 was made to look at the token before, head 0 of layer 1 behind earlier occurrences."""
    scores = head_scores(induction_network().model, ROWS)
    matching = scores["prefix_matching"].mean("example")
    assert float(matching.sel(layer=1, head=0)) == pytest.approx(1.0, abs=1e-3)
    assert float(matching.max()) == float(matching.sel(layer=1, head=0))
    before = scores["previous_token"].mean("example")
    assert float(before.sel(layer=0, head=0)) == pytest.approx(1.0, abs=1e-3)
    assert float(scores["ahead"].max()) == 0.0
    assert float(scores["by_position"].mean("example").sel(layer=1, head=0)) < 0.8


def test_the_head_that_says_what_it_looks_at_copies_and_the_one_that_moves_for_another_does_not() -> None:
    scores = copying(induction_network().model, ROWS).mean("example")
    assert float(scores.sel(layer=1, head=0)) == 1.0
    assert float(scores.sel(layer=0, head=0)) == pytest.approx(0.5)


def test_copying_is_what_the_head_s_matrices_say() -> None:
    """In layer 0 without normalisation's bias: token -> value -> output -> logits, its own token's rank among all."""
    model = small()
    with torch.no_grad():
        stream = model.embed(ROWS) + model.pos_embed(model.embed(ROWS), 0)
        attn = model.blocks[0].attn
        value = model.blocks[0].ln1(stream) @ attn.W_V + attn.b_V
        for head in range(2):
            part = slice(8 * head, 8 * head + 8)
            written = value[..., part] @ attn.W_O[part]
            logits = model.unembed(model.ln_final(written), model.embed.W_E)
            own = logits.gather(-1, ROWS[..., None])
            share = ((logits < own).sum(-1) / 8).mean(-1)
            found = copying(model, ROWS).sel(layer=0, head=head)
            assert torch.allclose(torch.tensor(found.values), share, atol=1e-6)


def test_a_population_is_scored_member_by_member() -> None:
    population = small((3, 4))
    for scores in (head_scores(population, ROWS)["prefix_matching"], copying(population, ROWS)):
        assert scores.dims == ("seed", "layer", "head", "example")
        assert scores["seed"].values.tolist() == [3, 4]
    alone = head_scores(small(3), ROWS)["prefix_matching"]
    together = head_scores(population, ROWS)["prefix_matching"].sel(seed=3)
    assert torch.allclose(torch.tensor(alone.values), torch.tensor(together.values), atol=1e-6)


def test_the_network_is_as_it_was() -> None:
    model = small()
    before, hooks = model(ROWS), [len(point._forward_hooks) for point in model.hook_dict.values()]
    copying(model, ROWS)
    assert torch.equal(before, model(ROWS))
    assert hooks == [len(point._forward_hooks) for point in model.hook_dict.values()]


def test_what_has_no_heads_or_no_tokens_is_refused() -> None:
    without = Transformer(TransformerConfig(vocabulary=9, context=9, heads=0, d_mlp=8), seeds=0)
    with pytest.raises(Refused, match="no attention"):
        head_scores(without, ROWS)
    with pytest.raises(Refused, match="tokens"):
        copying(MLP(MLPConfig((4, 3, 2)), seeds=0), torch.ones(2, 4))
    with pytest.raises(Refused, match="repeat no token"):
        head_scores(small(), torch.arange(9)[None])


def test_scores_follow_the_pattern_that_was_captured() -> None:
    model = small()
    pattern = capture(model, ROWS, "blocks.1.attn.hook_pattern").tensor("blocks.1.attn.hook_pattern")
    found = head_scores(model, ROWS)["previous_token"].sel(layer=1)
    wanted: Tensor = pattern[..., range(1, 9), range(8)].mean(-1).T
    assert torch.allclose(torch.tensor(found.values), wanted, atol=1e-6)
