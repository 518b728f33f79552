"""Any Hugging Face causal language model, behind the face of our own networks: `load_pretrained(name_or_folder)`.

The weights are Hugging Face's and so is the arithmetic, in its plain ("eager") form; transformer-lens's
`TransformerBridge` (Nanda, Bloom and others, https://github.com/TransformerLensOrg/TransformerLens) puts hook points
into it, and pretrained_proof.py finds out which of them keep what our names promise. Layer norms are not folded and
weights not centred, so activations are those of the network as it was trained.
"""

from __future__ import annotations

import os
from typing import Any

import torch

from models.networks.pretrained_files import read_network, read_tokenizer, source_of
from models.networks.pretrained_layers import LayeredPretrainedModel
from models.networks.pretrained_model import PretrainedConfig, PretrainedModel
from models.networks.pretrained_points import candidates
from models.networks.pretrained_proof import looks_back_only, prove, spans_hold, trial_tokens
from models.refusals import Refused, unknown

DTYPES = ("float32", "float64", "float16", "bfloat16")


def load_pretrained(
    name_or_folder: str | os.PathLike[str],
    *,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
) -> PretrainedModel:
    """The network of that name (Hugging Face's hub or cache) or in that folder, in eval mode.

    Raises `BadFile` for names and folders that are not there and for files that are missing, truncated or do not fit
    each other; `Refused` for a tokenizer that does not fit the weights, and for architectures that transformer-lens
    does not know or does not compute as Hugging Face does. `INTERP_OFFLINE=1`: never asks the network.
    """
    chosen = str(dtype).removeprefix("torch.")
    if chosen not in DTYPES:
        raise unknown("dtype for weights", chosen, DTYPES)
    source = source_of(name_or_folder)
    with torch.random.fork_rng(devices=[]):  # both libraries draw weights before they put the true ones there
        network = read_network(source, dtype=getattr(torch, chosen)).to(device)
        tokenizer = read_tokenizer(source, vocabulary=network.get_input_embeddings().num_embeddings)
        return laid_open(network, name=source.place, tokenizer=tokenizer)


def laid_open(network: Any, *, name: str, tokenizer: Any = None) -> PretrainedModel:
    """A Hugging Face causal language model that is in memory already; it is changed in place."""
    from transformer_lens.model_bridge import sources

    architecture = type(network).__name__
    if getattr(network.config, "is_encoder_decoder", False):
        raise Refused(
            f"{name} is an encoder-decoder ({architecture}); only causal language models are laid open."
        )
    network.eval().set_attn_implementation("eager")  # the only form that computes pattern and scores openly
    try:
        described = sources.build_bridge_config_from_hf(network.config, architecture, name, network.dtype)
        config = _config(described, network, name)
        tokens = trial_tokens(config).to(network.device)
        with torch.no_grad():
            plain = network(tokens, use_cache=False).logits
        bridge = sources.build_bridge_from_module(network, architecture, tl_config=described)
    except (ValueError, NotImplementedError, AttributeError, TypeError, RuntimeError) as error:
        raise Refused(
            f"transformer-lens cannot lay open {name}, a {architecture}: {' '.join(str(error).split())[:300]}"
        ) from error
    possible, absent = candidates(bridge, config.layers)
    model: PretrainedModel = PretrainedModel(config, network, bridge, tokenizer)
    prove(model, possible, absent, tokens, plain=plain)
    layered = LayeredPretrainedModel(config, network, bridge, tokenizer)
    layered.offer(model.routes, model.left_out)
    if spans_hold(layered, tokens):
        model = layered
    model.causal = looks_back_only(model, tokens)
    return model.eval()


def _config(described: Any, network: Any, name: str) -> PretrainedConfig:
    """The sizes as transformer-lens read them from Hugging Face's configuration."""
    return PretrainedConfig(
        name=name,
        architecture=type(network).__name__,
        layers=int(described.n_layers),
        heads=int(described.n_heads),
        key_heads=int(described.n_key_value_heads or described.n_heads),
        d_model=int(described.d_model),
        d_head=int(described.d_head),
        vocabulary=int(network.get_input_embeddings().num_embeddings),
        context=_context(network.config),
    )


def _context(config: Any) -> int | None:
    """The longest sequence of the configuration, under whichever of its names."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length"):
        if isinstance(limit := getattr(config, name, None), int) and limit > 0:
            return limit
    return None
