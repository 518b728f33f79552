"""A real trained model through our face: its published story, every point's axes, edits and identities."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from interp.reading.capture import capture
from interp.refusals import Refused as RefusedByInterp
from interp.writing.edits import Edit, edited, mean, patch, zero
from models.networks.generation import generate
from models.networks.pretrained import load_pretrained
from models.networks.pretrained_layers import LayeredPretrainedModel
from models.networks.pretrained_model import PretrainedModel
from models.refusals import Refused

pytestmark = pytest.mark.real_data
LAYERS = range(5)


@pytest.fixture(scope="module")
def model(data_dir: Path) -> PretrainedModel:
    return load_pretrained(data_dir / "stories260K")


@pytest.fixture(scope="module")
def published(data_dir: Path) -> str:
    """The story that the model's README gives for greedy sampling, between its first two fences after -t 0.0."""
    readme = (data_dir / "stories260K" / "README.md").read_text()
    return readme.split("-t 0.0\n")[1].split("```")[0].strip()


@pytest.fixture(scope="module")
def tokens(model: PretrainedModel, published: str) -> Tensor:
    """Three passages of the story, 13 tokens each: `[example, pos]`."""
    return model.encode(published)[0, : 3 * 13].reshape(3, 13)


@pytest.fixture(scope="module")
def acts(model: PretrainedModel, tokens: Tensor) -> dict[str, Tensor]:
    captured = capture(model, tokens, "**")
    return {name: captured.tensor(name) for name in captured}


def offered() -> list[str]:
    """What a Llama-like network should offer: the whole vocabulary but for the learned positions."""
    inner = [f"hook_resid_{place}" for place in ("pre", "mid", "post")] + ["hook_attn_out", "hook_mlp_out"]
    heads = ("q", "k", "v", "rot_q", "rot_k", "attn_scores", "pattern", "z", "result")
    inner += [f"attn.hook_{name}" for name in heads]
    inner += [f"mlp.hook_{name}" for name in ("pre", "pre_linear", "post")]
    norms = [f"{norm}.hook_{name}" for norm in ("ln1", "ln2") for name in ("scale", "normalized")]
    outer = ["hook_embed", "ln_final.hook_scale", "ln_final.hook_normalized", "hook_logits"]
    return outer + [f"blocks.{layer}.{name}" for layer in LAYERS for name in inner + norms]


def wrong_shape(name: str) -> Edit:
    return Edit(name, lambda value, site: value[:1])


def noise(like: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


def test_the_whole_vocabulary_is_offered_and_nothing_else(model: PretrainedModel) -> None:
    assert set(model.hook_dict) == set(offered())
    assert model.left_out == {"hook_pos_embed": "it never fires"}
    assert not any(point.read_only for point in model.hook_dict.values())


def test_it_is_told_in_two_lines(model: PretrainedModel) -> None:
    first, second = repr(model).splitlines()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert f"LlamaForCausalLM of {parameters:,} parameters, its tokenizer" in first
    assert second == "  5 layers, 8 heads, d_model 64, vocabulary 512, context 512"


def test_it_tells_the_published_story(model: PretrainedModel, published: str) -> None:
    story = generate(model, torch.tensor([[1]]), count=256)
    assert story.shape == (1, 257)
    assert model.decode(story[0]).strip() == published


def test_text_becomes_tokens_and_text_again(model: PretrainedModel) -> None:
    tokens = model.encode("Once upon a time, there was a little girl named Lily.")
    assert tokens[0, :4].tolist() == [1, 403, 407, 261]
    assert model.decode(tokens).strip() == "Once upon a time, there was a little girl named Lily."


def test_axes_have_the_lengths_of_the_architecture(model: PretrainedModel, acts: dict[str, Tensor]) -> None:
    lengths = {"example": 3, "pos": 13, "query_pos": 13, "key_pos": 13, "head": 8, "key_head": 4, "d_head": 8}
    lengths |= {"d_model": 64, "neuron": 172, "token": 512, "1": 1}
    for name, value in acts.items():
        assert value.shape == tuple(lengths[axis] for axis in model.hook_dict[name].axes), name


def test_points_fire_once_and_in_the_order_of_hook_dict(model: PretrainedModel, tokens: Tensor) -> None:
    order: list[str] = []
    handles = [
        point.register_forward_hook(lambda *_, name=name: order.append(name))
        for name, point in model.hook_dict.items()
    ]
    model(tokens)
    for handle in handles:
        handle.remove()
    assert order == list(model.hook_dict)


@pytest.mark.parametrize("name", offered())
def test_noise_at_every_point_changes_the_logits(
    model: PretrainedModel, tokens: Tensor, acts: dict[str, Tensor], name: str
) -> None:
    with edited(model, patch(name, acts[name] + noise(acts[name]))), torch.no_grad():
        changed = model(tokens)
    assert (changed - acts["hook_logits"]).abs().amax(dim=(1, 2)).min() > 1e-4


@pytest.mark.parametrize("name", offered())
def test_putting_back_what_was_read_changes_nothing(
    model: PretrainedModel, tokens: Tensor, acts: dict[str, Tensor], name: str
) -> None:
    with edited(model, patch(name, acts[name])), torch.no_grad():
        torch.testing.assert_close(model(tokens), acts["hook_logits"], rtol=0, atol=2e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_stream_is_the_sum_of_what_was_written_into_it(acts: dict[str, Tensor], layer: int) -> None:
    at = f"blocks.{layer}.hook_"
    before = acts["hook_embed"] if layer == 0 else acts[f"blocks.{layer - 1}.hook_resid_post"]
    torch.testing.assert_close(acts[f"{at}resid_pre"], before, rtol=0, atol=0)
    mid, post = acts[f"{at}resid_pre"] + acts[f"{at}attn_out"], acts[f"{at}resid_mid"] + acts[f"{at}mlp_out"]
    torch.testing.assert_close(acts[f"{at}resid_mid"], mid, rtol=0, atol=1e-6)
    torch.testing.assert_close(acts[f"{at}resid_post"], post, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_attention_is_what_its_points_say(acts: dict[str, Tensor], layer: int) -> None:
    q, k, v, rot_q, rot_k, scores, pattern, z, result = (
        acts[f"blocks.{layer}.attn.hook_{name}"]
        for name in ("q", "k", "v", "rot_q", "rot_k", "attn_scores", "pattern", "z", "result")
    )
    torch.testing.assert_close(rot_q.norm(dim=-1), q.norm(dim=-1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rot_k[:, 0], k[:, 0], rtol=0, atol=1e-6)  # position 0 is not turned
    shared_k, shared_v = k.repeat_interleave(2, dim=2), v.repeat_interleave(2, dim=2)
    assert shared_k.shape == q.shape
    products = torch.einsum("eqhd,ekhd->ehqk", rot_q, rot_k.repeat_interleave(2, dim=2)) / 8**0.5
    torch.testing.assert_close(scores, products, rtol=0, atol=1e-4)
    future = torch.ones(13, 13, dtype=torch.bool).triu(1)
    assert bool((scores[..., future] > -100).all()), "scores stand before the mask"
    softmax = scores.masked_fill(future, -torch.inf).softmax(dim=-1)
    torch.testing.assert_close(pattern, softmax, rtol=0, atol=1e-6)
    assert not bool(pattern[..., future].any())
    torch.testing.assert_close(pattern.sum(dim=-1), torch.ones(3, 8, 13), rtol=0, atol=1e-6)
    torch.testing.assert_close(z, torch.einsum("ehqk,ekhd->eqhd", pattern, shared_v), rtol=0, atol=1e-5)
    torch.testing.assert_close(acts[f"blocks.{layer}.hook_attn_out"], result.sum(dim=2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_mlp_and_norms_are_what_their_points_say(acts: dict[str, Tensor], layer: int) -> None:
    at = f"blocks.{layer}."
    post = F.silu(acts[f"{at}mlp.hook_pre"]) * acts[f"{at}mlp.hook_pre_linear"]
    torch.testing.assert_close(acts[f"{at}mlp.hook_post"], post, rtol=0, atol=1e-5)
    for norm, stream in (("ln1", "hook_resid_pre"), ("ln2", "hook_resid_mid")):
        scale = (acts[at + stream].pow(2).mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        torch.testing.assert_close(acts[f"{at}{norm}.hook_scale"], scale)
        torch.testing.assert_close(acts[f"{at}{norm}.hook_normalized"], acts[at + stream] / scale)


def test_logits_are_the_unembedding_of_the_last_norm(
    model: PretrainedModel, acts: dict[str, Tensor], data_dir: Path
) -> None:
    from safetensors.torch import load_file

    weights = load_file(data_dir / "stories260K" / "model.safetensors")
    normalized = acts["ln_final.hook_normalized"] * weights["model.norm.weight"]
    logits = normalized @ weights["model.embed_tokens.weight"].T  # the embedding's own: they are tied
    torch.testing.assert_close(acts["hook_logits"], logits, rtol=0, atol=1e-4)


def test_an_edited_middle_of_the_stream_goes_around_the_mlp_too(
    model: PretrainedModel, tokens: Tensor, acts: dict[str, Tensor]
) -> None:
    other = acts["blocks.2.hook_resid_mid"] + noise(acts["blocks.2.hook_resid_mid"])
    with edited(model, patch("blocks.2.hook_resid_mid", other)):
        seen = capture(model, tokens, ["blocks.2.hook_mlp_out", "blocks.2.hook_resid_post"])
    expected = other + seen.tensor("blocks.2.hook_mlp_out")
    torch.testing.assert_close(seen.tensor("blocks.2.hook_resid_post"), expected, rtol=0, atol=1e-5)


def test_no_edit_of_scores_lets_the_future_in(model: PretrainedModel, tokens: Tensor) -> None:
    later = tokens.clone()
    later[:, -1] = 5
    ones = torch.full((3, 8, 13, 13), 50.0)
    with edited(model, patch("blocks.1.attn.hook_attn_scores", ones)), torch.no_grad():
        torch.testing.assert_close(model(tokens)[:, :-1], model(later)[:, :-1], rtol=0, atol=0)


def test_zero_ablation_of_every_layer_leaves_the_embedding_alone(
    model: PretrainedModel, tokens: Tensor, acts: dict[str, Tensor]
) -> None:
    every = [zero(f"blocks.{layer}.hook_{part}_out") for layer in LAYERS for part in ("attn", "mlp")]
    with edited(model, every):
        last = capture(model, tokens, "blocks.4.hook_resid_post").tensor("blocks.4.hook_resid_post")
    torch.testing.assert_close(last, acts["hook_embed"], rtol=0, atol=0)


def test_ablating_one_head_by_z_or_by_result_is_the_same(model: PretrainedModel, tokens: Tensor) -> None:
    logits = []
    for name in ("z", "result"):
        with edited(model, zero(f"blocks.3.attn.hook_{name}", head=5)), torch.no_grad():
            logits.append(model(tokens))
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-4)


def test_mean_ablation_puts_the_mean_there(
    model: PretrainedModel, tokens: Tensor, acts: dict[str, Tensor]
) -> None:
    name = "blocks.1.hook_mlp_out"
    with edited(model, mean(name, acts[name])):
        seen = capture(model, tokens, name).tensor(name)
    torch.testing.assert_close(seen, acts[name].mean(dim=0, keepdim=True).expand(3, 13, 64))


def test_patching_the_whole_stream_from_another_run_gives_that_run(
    model: PretrainedModel, tokens: Tensor, acts: dict[str, Tensor]
) -> None:
    others = tokens.flip(0)
    with edited(model, patch("blocks.2.hook_resid_pre", acts["blocks.2.hook_resid_pre"])), torch.no_grad():
        torch.testing.assert_close(model(others), acts["hook_logits"], rtol=0, atol=1e-4)


def test_patching_one_position_changes_nothing_before_it(
    model: PretrainedModel, tokens: Tensor, acts: dict[str, Tensor]
) -> None:
    name = "blocks.0.hook_resid_post"
    with edited(model, patch(name, acts[name].flip(0), pos=6)), torch.no_grad():
        change = (model(tokens) - acts["hook_logits"]).abs().amax(dim=(0, 2))
    assert float(change[:6].max()) < 1e-4 < 1e-2 < float(change[6:].min())


@pytest.mark.parametrize("layer", range(6))
def test_stopping_at_a_layer_and_starting_there_is_going_through(
    model: PretrainedModel, tokens: Tensor, acts: dict[str, Tensor], layer: int
) -> None:
    assert isinstance(model, LayeredPretrainedModel)
    with torch.no_grad():
        stream = model(tokens, stop_at_layer=layer)
        torch.testing.assert_close(
            stream,
            acts["blocks.4.hook_resid_post" if layer == 5 else f"blocks.{layer}.hook_resid_pre"],
            rtol=0,
            atol=1e-5,
        )
        torch.testing.assert_close(model(stream, start_at_layer=layer), model(tokens), rtol=0, atol=1e-6)


def test_a_part_of_the_way_fires_its_own_points_only(model: PretrainedModel, tokens: Tensor) -> None:
    fired: list[str] = []
    handles = [
        point.register_forward_hook(lambda *_, name=name: fired.append(name))
        for name, point in model.hook_dict.items()
    ]
    stream = model(tokens, stop_at_layer=2)
    before, fired[:] = list(fired), []
    model(stream, start_at_layer=2, stop_at_layer=3)
    for handle in handles:
        handle.remove()
    assert before == [n for n in model.hook_dict if n == "hook_embed" or n[:8] in ("blocks.0", "blocks.1")]
    assert fired == [n for n in model.hook_dict if n[:8] == "blocks.2"]


def test_nothing_stays_attached(model: PretrainedModel, tokens: Tensor, acts: dict[str, Tensor]) -> None:
    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.network.modules())

    before = hooks()
    capture(model, tokens, "**")
    with (
        pytest.raises(RefusedByInterp, match="changed the shape"),
        edited(model, wrong_shape("blocks.1.attn.hook_result")),
    ):
        model(tokens, start_at_layer=None, stop_at_layer=3)
    assert hooks() == before
    assert "forward" not in model.bridge.blocks[0].__dict__
    assert not any(point._forward_hooks for point in model.hook_dict.values())
    with torch.no_grad():
        assert torch.equal(model(tokens), model(tokens))


def test_gradients_reach_every_point(model: PretrainedModel, tokens: Tensor) -> None:
    kept: dict[str, Tensor] = {}

    def keep(module: object, inputs: object, value: Tensor) -> None:
        value.retain_grad()
        kept[str(module.name)] = value  # type: ignore[attr-defined]

    names = [name for name in model.hook_dict if name != "hook_logits"]
    handles = [model.hook_dict[name].register_forward_hook(keep) for name in names]
    model(tokens).logsumexp(dim=-1).sum().backward()
    for handle in handles:
        handle.remove()
    model.zero_grad()
    assert {name for name, value in kept.items() if value.grad is not None and bool(value.grad.any())} == set(
        names
    )


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (torch.tensor([[1, 512]]), "Token 512 is unknown"),
        (torch.tensor([[-1, 3]]), "Token -1 is unknown"),
        (torch.ones(1, 513, dtype=torch.int64), "at most 512"),
        (torch.ones(3), "whole numbers"),
        (torch.ones(2, 0, dtype=torch.int64), "at least one"),
    ],
)
def test_what_are_no_tokens_is_refused(model: PretrainedModel, wrong: Tensor, says: str) -> None:
    with pytest.raises(Refused, match=says):
        model(wrong)


def test_a_story_longer_than_the_context_is_refused(model: PretrainedModel) -> None:
    with pytest.raises(Refused, match="ask for at most 512"):
        generate(model, torch.tensor([[1]]), count=513)


def test_layers_and_streams_that_do_not_exist_are_refused(model: PretrainedModel, tokens: Tensor) -> None:
    with pytest.raises(Refused, match="Layers go from 0 to 5"):
        model(tokens, stop_at_layer=6)
    with pytest.raises(Refused, match="64"):
        model(torch.zeros(1, 2, 63), start_at_layer=1)
    with pytest.raises(Refused, match="no members"):
        model.member(0)


def test_padding_at_the_end_changes_nothing_before_it_and_elsewhere_is_refused(
    model: PretrainedModel, tokens: Tensor, acts: dict[str, Tensor]
) -> None:
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[1, 9:] = False
    padded = tokens.masked_fill(~mask, 0)
    with torch.no_grad():
        assert torch.allclose(model(padded, mask=mask)[1, :9], acts["hook_logits"][1, :9], atol=1e-4)
    with pytest.raises(Refused, match="padding stands at the end"):
        model(padded, mask=mask.flip(1))


def test_an_unknown_hook_is_refused_with_the_nearest(model: PretrainedModel, tokens: Tensor) -> None:
    with pytest.raises(RefusedByInterp, match=r"blocks\.0\.hook_mlp_out"):
        capture(model, tokens, "blocks.0.hook_mlp_outs")


def test_dtypes_are_kept_and_the_global_generator_is_left_alone(data_dir: Path, tokens: Tensor) -> None:
    folder, before = data_dir / "stories260K", torch.get_rng_state()
    for dtype in (torch.float64, torch.bfloat16):
        model = load_pretrained(folder, dtype=dtype)
        with torch.no_grad():
            assert model(tokens).dtype == model.dtype == dtype
        assert set(model.hook_dict) == set(offered())
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(Refused, match="float32"):
        load_pretrained(folder, dtype="float31")
