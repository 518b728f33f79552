"""Small untrained networks of other architectures: what each offers, leaves out, and that both are right."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from interp.reading.capture import capture
from interp.refusals import Refused as RefusedByInterp
from interp.writing.edits import edited, patch, zero
from models.networks.pretrained import laid_open
from models.networks.pretrained_layers import LayeredPretrainedModel
from models.networks.pretrained_model import PretrainedModel
from models.refusals import Refused

SMALL: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "vocab_size": 50,
    "max_position_embeddings": 40,
}
SMALL |= {
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
GROUPED = SMALL | {"num_key_value_heads": 2, "head_dim": 8}
GPT2 = {
    "n_layer": 2,
    "n_head": 4,
    "n_embd": 32,
    "vocab_size": 50,
    "n_positions": 40,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
OPT = {k: v for k, v in SMALL.items() if k != "intermediate_size"} | {
    "ffn_dim": 48,
    "word_embed_proj_dim": 32,
}
NEO = {"num_layers": 2, "num_heads": 4, "hidden_size": 32, "vocab_size": 50, "max_position_embeddings": 40}
NEO |= {"attention_types": [[["global", "local"], 1]], "bos_token_id": 0, "eos_token_id": 0}
KINDS: dict[str, dict[str, Any]] = {
    "gpt2": GPT2,
    "gpt_neox": SMALL,
    "gpt_neo": NEO,
    "opt": OPT,
    "qwen2": {k: v for k, v in GROUPED.items() if k != "head_dim"},
    "gemma2": GROUPED,
    "mistral": GROUPED | {"sliding_window": 4},
    "mixtral": GROUPED | {"num_local_experts": 3},
}
OWN_POINTS = {  # of the last block, what a family leaves out of the vocabulary
    "gpt2": {"attn.hook_rot_q", "attn.hook_rot_k", "mlp.hook_pre_linear"},
    "gpt_neox": {"attn.hook_rot_q", "attn.hook_rot_k", "mlp.hook_pre_linear", "hook_resid_mid"},
    "gemma2": {"attn.hook_result"},
    "qwen2": set(),
    "mistral": set(),
}


@functools.cache
def network(kind: str) -> PretrainedModel:
    """A network of this architecture, its weights drawn without the global generator."""
    import transformers

    randomness = torch.Generator().manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **KINDS[kind])
    with torch.random.fork_rng():
        built = transformers.AutoModelForCausalLM.from_config(config)
    for name, parameter in built.named_parameters():
        gain = float(parameter.ndim == 1 and name.endswith("weight"))
        parameter.data = gain + 0.15 * torch.randn(parameter.shape, generator=randomness)
    return laid_open(built, name=kind)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(50, (3, 9), generator=torch.Generator().manual_seed(1))


def all_of(model: PretrainedModel, tokens: Tensor) -> dict[str, Tensor]:
    acts = capture(model, tokens, "**")
    return {name: acts.tensor(name) for name in acts}


@pytest.mark.parametrize("kind", OWN_POINTS)
def test_a_family_leaves_out_what_it_cannot_give_and_says_why(kind: str) -> None:
    model = network(kind)
    last = {
        n.removeprefix("blocks.1."): why for n, why in model.left_out.items() if n.startswith("blocks.1.")
    }
    assert set(last) == OWN_POINTS[kind]
    assert all(last.values())


def test_every_point_is_effective_or_read_only(kind: str, tokens: Tensor) -> None:
    model = network(kind)
    acts = all_of(model, tokens)
    for name, point in model.hook_dict.items():
        noise = torch.randn(acts[name].shape, generator=torch.Generator().manual_seed(2))
        if point.read_only:
            with pytest.raises(RefusedByInterp, match="read-only"), edited(model, zero(name)):
                model(tokens)
            continue
        with edited(model, patch(name, acts[name] + noise)), torch.no_grad():
            change = (model(tokens) - acts["hook_logits"]).abs().max()
        assert float(change) > 1e-4, name


def test_reading_everything_changes_nothing(kind: str, tokens: Tensor) -> None:
    model = network(kind)
    with torch.no_grad():
        plain = model(tokens)
    torch.testing.assert_close(all_of(model, tokens)["hook_logits"], plain, rtol=0, atol=1e-4)


def test_patterns_look_back_only_and_sum_to_one(kind: str, tokens: Tensor) -> None:
    pattern = all_of(network(kind), tokens)["blocks.1.attn.hook_pattern"]
    assert pattern.shape == (3, 4, 9, 9)
    assert not bool(pattern.triu(1).any())
    torch.testing.assert_close(pattern.sum(dim=-1), torch.ones(3, 4, 9))


@pytest.mark.parametrize("layer", [0, 1])
def test_the_stream_under_edits_is_the_sum_of_what_is_written_into_it(
    kind: str, tokens: Tensor, layer: int
) -> None:
    model = network(kind)
    at, acts = f"blocks.{layer}.hook_", all_of(network(kind), tokens)
    written = [n for n in (f"{at}resid_pre", f"{at}attn_out", f"{at}mlp_out") if n in model.hook_dict]
    if len(written) < 3:
        assert f"{at}mlp_out" in model.left_out
        return
    moved = [
        acts[n] + torch.randn(acts[n].shape, generator=torch.Generator().manual_seed(3)) for n in written
    ]
    with edited(model, [patch(n, value) for n, value in zip(written, moved, strict=True)]):
        post = capture(model, tokens, f"{at}resid_post").tensor(f"{at}resid_post")
    torch.testing.assert_close(post, sum(moved[1:], moved[0]), rtol=0, atol=1e-4)


def test_layers_can_be_started_and_stopped(kind: str, tokens: Tensor) -> None:
    model = network(kind)
    assert isinstance(model, LayeredPretrainedModel)
    assert model.causal
    with torch.no_grad():
        for layer in range(3):
            stream = model(tokens, stop_at_layer=layer)
            torch.testing.assert_close(model(stream, start_at_layer=layer), model(tokens), rtol=0, atol=1e-4)


def test_attention_that_hugging_face_computes_shows_its_pattern_read_only() -> None:
    model = network("gpt_neo")
    assert model.hook_dict["blocks.0.attn.hook_pattern"].read_only
    assert "blocks.0.attn.hook_attn_scores" in model.left_out
    assert "split by head" in model.left_out["blocks.0.attn.hook_result"]


def test_shared_learned_positions_are_shown_for_each_example(tokens: Tensor) -> None:
    model = network("gpt2")
    acts = all_of(model, tokens)
    assert acts["hook_pos_embed"].shape == (3, 9, 32)
    both = acts["hook_embed"] + acts["hook_pos_embed"]
    torch.testing.assert_close(acts["blocks.0.hook_resid_pre"], both)
    with edited(model, zero("hook_pos_embed", example=1)):
        seen = capture(model, tokens, "blocks.0.hook_resid_pre").tensor("blocks.0.hook_resid_pre")
    torch.testing.assert_close(seen[1], acts["hook_embed"][1])
    torch.testing.assert_close(seen[0], both[0])


def test_a_network_without_a_tokenizer_says_so() -> None:
    with pytest.raises(Refused, match="without a tokenizer"):
        network("gpt2").encode("hello")


def test_a_network_that_is_no_decoder_is_refused() -> None:
    import transformers

    sizes = {"d_model": 16, "d_ff": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8, "vocab_size": 20}
    with torch.random.fork_rng():
        built = transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes))
    with pytest.raises(Refused, match="encoder-decoder"):
        laid_open(built, name="a translator")


def test_a_bridge_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    from models.networks import pretrained

    monkeypatch.setattr(pretrained, "candidates", _spoiling(pretrained.candidates))
    with torch.random.fork_rng():
        built = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model("gpt2", **GPT2)
        )
    with pytest.raises(Refused, match="other logits than Hugging Face"):
        laid_open(built, name="spoiled")


def _spoiling(candidates: Any) -> Any:
    """Changes a weight between Hugging Face's run and the bridge's, as a wrong bridge would."""

    def spoil(bridge: Any, layers: int) -> Any:
        with torch.no_grad():
            next(bridge.original_model.parameters()).mul_(1.5)
        return candidates(bridge, layers)

    return spoil
