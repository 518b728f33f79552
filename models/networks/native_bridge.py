"""Transformers to and from transformer-lens: its native model is the same arithmetic, written by others.

`to_native_bridge` gives a `TransformerBridge` with our weights, on which transformer-lens's own tools run, and which
serves as an independent witness in the tests; `from_native_bridge` goes back. Learned positions of zero stand for none,
and a copy of the embedding for a tied unembedding. `shared_points` are the hook points that hold the same in both: the
bridge's `hook_attn_scores` is not among them (it holds the pattern), nor what it lists and never fires.
(transformer-lens 4.3, Nanda and Bloom 2022, https://github.com/TransformerLensOrg/TransformerLens)
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from models.networks.positionwise import EPSILON
from models.networks.rotary import BASE
from models.networks.transformer import Transformer
from models.networks.transformer_config import Activation, Normalization, TransformerConfig
from models.refusals import Refused, unknown

ACTIVATIONS: dict[Activation, str] = {"relu": "relu", "gelu": "gelu", "gelu_tanh": "gelu_new", "silu": "silu"}
NORMALIZATIONS: dict[Normalization, str | None] = {"layernorm": "LN", "rmsnorm": "RMS", "none": None}

WEIGHTS = {
    "embed.W_E": "tok_embed.weight",
    "pos_embed.W_pos": "pos.weight",
    "ln_final.w": "ln_out.weight",
    "ln_final.b": "ln_out.bias",
    "unembed.W_U": "head.weight",
}
BLOCK_WEIGHTS = {
    **{
        f"{norm}.{ours}": f"{norm}.{theirs}"
        for norm in ("ln1", "ln2")
        for ours, theirs in (("w", "weight"), ("b", "bias"))
    },
    **{f"attn.W_{part}": f"attn.{part.lower()}.weight" for part in "QKVO"},
    **{f"attn.b_{part}": f"attn.{part.lower()}.bias" for part in "QKVO"},
}
MLP_WEIGHTS = {"W_in": "fc_in.weight", "b_in": "fc_in.bias", "W_out": "fc_out.weight", "b_out": "fc_out.bias"}
GATED_WEIGHTS = {"W_gate": "gate.weight", "W_in": "in.weight", "W_out": "out.weight"}

SHARED_POINTS = {
    **{
        name: name
        for name in ("hook_embed", "hook_pos_embed", "ln_final.hook_scale", "ln_final.hook_normalized")
    },
    "hook_logits": "unembed.hook_out",
}
SHARED_BLOCK_POINTS = (
    *("hook_resid_pre", "hook_attn_out", "hook_resid_mid", "hook_mlp_out", "hook_resid_post"),
    *("ln1.hook_scale", "ln1.hook_normalized", "ln2.hook_scale", "ln2.hook_normalized"),
    *("attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_pattern", "attn.hook_z"),
    *("mlp.hook_pre", "mlp.hook_pre_linear", "mlp.hook_post"),
)


def to_native_bridge(model: Transformer) -> Any:
    """A `TransformerBridge` around transformer-lens's native model with these weights, of the same dtype and device.

    Raises `Refused` for a population (take a member) and for what the native model cannot be: without
    attention, or with an unembedding bias.
    """
    from transformer_lens.model_bridge.sources.native import boot

    if model.seeds is not None:
        raise Refused(f"A bridge holds one network; give model.member(seed), seed of {model.seeds}.")
    bridge = boot(native_config(model.config), device=model.device, dtype=model.dtype)
    weights, state = _native_weights(bridge), _as_native(model)
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(state[name]) if name in state else parameter.zero_()
    return bridge.train(model.training)


def from_native_bridge(bridge: Any, *, seed: int = 0) -> Transformer:
    """The network of a bridge that `boot_native` made: a copy of its weights, named as the network of `seed`.

    Raises `Refused`, naming the setting, where the bridge computes what this family does not.
    """
    weights = _native_weights(bridge)
    model = Transformer(our_config(bridge.cfg), seeds=seed)
    some = weights["tok_embed.weight"]
    model.to(device=some.device, dtype=some.dtype)
    names = {name: _native_name(name, gated=model.config.gated) for name in model.state_dict()}
    model.load_state_dict({ours: _turned(weights[theirs], ours) for ours, theirs in names.items()})
    return model.train(bridge.training)


def shared_points(model: Transformer) -> dict[str, str]:
    """Hook points that hold the same in the network and in its bridge: our name -> the name there."""
    return {
        name: SHARED_POINTS.get(name, name)
        for name in model.hook_dict
        if name in SHARED_POINTS or name.partition(".")[2].partition(".")[2] in SHARED_BLOCK_POINTS
    }


def native_config(config: TransformerConfig) -> Any:
    """transformer-lens's config of the same network."""
    from transformer_lens.config import TransformerBridgeConfig

    if config.unembedding_bias or not config.heads or not config.layers or not config.exact:
        raise Refused(
            "transformer-lens's native model has exact attention in one or more layers and no unembedding bias."
        )
    return TransformerBridgeConfig(
        d_model=config.d_model,
        d_head=config.d_head,
        n_layers=config.layers,
        n_ctx=config.context,
        n_heads=config.heads,
        n_key_value_heads=config.key_heads,
        d_vocab=config.vocabulary,
        d_mlp=config.d_mlp or None,
        attn_only=not config.d_mlp,
        gated_mlp=config.gated,
        act_fn=ACTIVATIONS[config.activation],
        normalization_type=NORMALIZATIONS[config.normalization],
        positional_embedding_type="rotary" if config.positions == "rotary" else "standard",
        attention_dir="causal" if config.causal else "bidirectional",
        architecture="TransformerLensNative",
        seed=0,
    )


def our_config(cfg: Any) -> TransformerConfig:
    """Our config of the network that this native config describes."""
    _refuse_foreign(cfg)
    rotary = (cfg.positional_embedding_type or "standard").lower() == "rotary"
    return TransformerConfig(
        vocabulary=cfg.d_vocab,
        context=cfg.n_ctx,
        layers=cfg.n_layers,
        d_model=cfg.d_model,
        heads=cfg.n_heads,
        d_head=cfg.d_head,
        key_heads=cfg.n_key_value_heads or cfg.n_heads,
        d_mlp=0 if cfg.attn_only else cfg.d_mlp,
        activation=_ours(ACTIVATIONS, cfg.act_fn or "gelu", "activation"),
        gated=bool(cfg.gated_mlp) and not cfg.attn_only,
        normalization=_ours(NORMALIZATIONS, cfg.normalization_type, "normalization"),
        positions="rotary" if rotary else "learned",
        causal=cfg.attention_dir == "causal",
    )


def _refuse_foreign(cfg: Any) -> None:
    """Refuses settings of the native model that this family has at another value."""
    fixed = {
        "eps": (EPSILON,),
        "rotary_base": (BASE,),
        "rotary_dim": (None, cfg.d_head),
        "rope_scaling": (None,),
        "attn_scale": (-1.0,),
        "use_attn_scale": (True,),
        "attn_scores_soft_cap": (-1.0,),
        "output_logits_soft_cap": (-1.0,),
        "d_vocab_out": (-1, cfg.d_vocab),
        "final_rms": (False, cfg.normalization_type == "RMS"),
    }
    for name, allowed in fixed.items():
        given = getattr(cfg, name, allowed[0])
        if given not in allowed:
            raise Refused(f"The bridge has {name}={given!r}; this family has {allowed[0]!r}.")


def _ours(names: dict[Any, Any], given: Any, kind: str) -> Any:
    """Our name of a choice of transformer-lens's."""
    for ours, theirs in names.items():
        if theirs == given:
            return ours
    raise unknown(kind, str(given), map(str, names.values()))


def _as_native(model: Transformer) -> dict[str, Tensor]:
    """Our weights under the native model's names, lying as they lie there."""
    state = {
        _native_name(name, gated=model.config.gated): _turned(value, name)
        for name, value in model.state_dict().items()
    }
    return {"head.weight": model.embed.W_E, **state}


def _native_weights(bridge: Any) -> dict[str, Tensor]:
    """The parameters of a bridge's native model, under the names they have without the bridge."""
    return {
        name.replace("_original_component.", ""): value
        for name, value in bridge.original_model.named_parameters()
    }


def _native_name(name: str, *, gated: bool) -> str:
    found = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if found is None:
        return WEIGHTS[name]
    layer, rest = found.groups()
    mlp = GATED_WEIGHTS if gated else MLP_WEIGHTS
    inner = BLOCK_WEIGHTS.get(rest) or f"mlp.{mlp[rest.removeprefix('mlp.')]}"
    return f"layers.{layer}.{inner}"


def _turned(value: Tensor, name: str) -> Tensor:
    """Matrices act from the right here and from the left there; embeddings are tables in both."""
    return value.mT if ".W_" in name and not name.startswith(("embed.", "pos_embed.")) else value
