"""What a bridged network really offers, found out by running it: no name is taken at its word.

One short batch of random tokens goes through three times. Unhooked: the logits must be those that Hugging Face gave
before the bridge was built. Watched: a point must fire once, in a layout that can be turned into the vocabulary's
axes. Moved: random noise is added at every point at once, and what arrives further down must follow from the *moved*
values, `resid_mid = resid_pre + attn_out`, `resid_post = resid_mid + mlp_out`, `pattern = softmax(masked scores)`,
`z = pattern @ v`, `attn_out = sum of result over heads + bias`; a point that breaks an identity is left out, one whose
noise has no gradient in the logits may only be read. So an edit does what its name says, or is refused.

It misleads where the short batch is not typical: a sliding window longer than the batch looks like none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor

from models.networks.hooked import hook
from models.networks.pretrained_identities import broken_by_moving, close
from models.networks.pretrained_layers import LayeredPretrainedModel
from models.networks.pretrained_model import PretrainedConfig, PretrainedModel
from models.networks.pretrained_points import Candidate, Layout, Route, layouts
from models.refusals import Refused

EXAMPLES = 2


def trial_tokens(config: PretrainedConfig) -> Tensor:
    """`[example, pos]`: random tokens, of a length that no other axis has, so that axes can be told apart."""
    taken = {config.heads, config.key_heads, config.d_head, config.d_model, EXAMPLES, 1}
    length = next(n for n in range(min(11, config.context or 11), 0, -1) if n not in taken)
    randomness = torch.Generator().manual_seed(0)
    return torch.randint(config.vocabulary, (EXAMPLES, length), generator=randomness)


def prove(
    model: PretrainedModel,
    possible: Sequence[Candidate],
    absent: Mapping[str, str],
    tokens: Tensor,
    *,
    plain: Tensor,
) -> None:
    """Offers the points that hold what they promise; raises `Refused` when the bridge changes the logits.

    `absent`: points known to be missing, and why. `plain`: Hugging Face's own logits for the tokens.
    """
    with torch.inference_mode(False), torch.no_grad():
        logits = model(tokens)
        if not close(logits, plain):
            raise Refused(
                f"transformer-lens computes other logits than Hugging Face for {model.config.architecture}: they "
                f"differ by up to {float((logits - plain).abs().max()):.3g}. This network cannot be laid open."
            )
        routes, left_out = _watched(model, possible, tokens)
        left_out |= absent
        model.offer(routes, left_out)
        _leave_out(model, _disturbing(model, tokens, plain))
    _leave_out(model, broken_by_moving(model, tokens))


def _leave_out(model: PretrainedModel, reasons: Mapping[str, str]) -> None:
    kept = {name: route for name, route in model.routes.items() if name not in reasons}
    model.offer(kept, {**model.left_out, **reasons})


def _watched(
    model: PretrainedModel, possible: Sequence[Candidate], tokens: Tensor
) -> tuple[dict[str, Route], dict[str, str]]:
    """The points that fire once and can be brought into our axes, in the order they fire; and why not the others."""
    left_out: dict[str, str] = {}
    if any("hook_result" in one.name for one in possible) and not _splits_heads(model.bridge):
        left_out |= {
            one.name: "this attention is not split by head" for one in possible if "hook_result" in one.name
        }
    asked = [one for one in possible if one.name not in left_out]
    seen: dict[str, list[Tensor]] = {}
    with ExitStack() as stack:
        for one in asked:
            stack.enter_context(one.tap.attached(partial(_note, seen, one.name)))
        if any("hook_result" in one.name for one in asked):
            model.bridge.set_use_attn_result(True)
            stack.callback(model.bridge.set_use_attn_result, False)
        model(tokens)
    by_name = {one.name: one for one in asked}
    routes: dict[str, Route] = {}
    for name, values in seen.items():
        layout = _layout(by_name[name].axes, values[0], model.config, tokens.shape[1])
        if len(values) > 1:
            left_out[name] = f"it fires {len(values)} times in one forward pass"
        elif layout is None:
            left_out[name] = (
                f"what passes has shape {tuple(values[0].shape)}, not [{', '.join(by_name[name].axes)}]"
            )
        else:
            routes[name] = Route(name, by_name[name].tap, layout, hook(*by_name[name].axes))
    left_out |= {one.name: "it never fires" for one in asked if one.name not in seen}
    return routes, left_out


def _note(seen: dict[str, list[Tensor]], name: str, value: Tensor) -> None:
    seen.setdefault(name, []).append(value)


def _splits_heads(bridge: Any) -> bool:
    try:
        bridge.set_use_attn_result(True)
    except NotImplementedError:
        return False
    bridge.set_use_attn_result(False)
    return True


def _layout(axes: Sequence[str], value: Tensor, config: PretrainedConfig, length: int) -> Layout | None:
    sizes = {"example": EXAMPLES, "head": config.heads, "key_head": config.key_heads, "1": 1, "neuron": None}
    sizes |= dict.fromkeys(("pos", "query_pos", "key_pos"), length)
    sizes |= {"d_head": config.d_head, "d_model": config.d_model}
    wanted = [sizes[axis] for axis in axes]
    heads = config.key_heads if "key_head" in axes else config.heads
    for layout in layouts(heads):
        try:
            shape = layout.read(value, EXAMPLES).shape
        except (RuntimeError, IndexError):
            continue
        if len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True)):
            return layout
    return None


def _disturbing(model: PretrainedModel, tokens: Tensor, plain: Tensor) -> dict[str, str]:
    """The points whose mere reading changes the logits; looked for kind by kind only where all together do."""
    if close(_read(model, tokens, model.routes), plain):
        return {}
    kinds: dict[str, list[str]] = {}
    for name in model.routes:
        kinds.setdefault(name.rpartition(".hook_")[2] if "." in name else name, []).append(name)
    bad = [names for names in kinds.values() if not close(_read(model, tokens, names), plain)]
    return {name: "reading it changes the logits" for names in bad for name in names}


def _read(model: PretrainedModel, tokens: Tensor, names: Any) -> Tensor:
    handles = [model.hook_dict[name].register_forward_hook(lambda *_: None) for name in names]
    try:
        return model(tokens)  # type: ignore[no-any-return]
    finally:
        for handle in handles:
            handle.remove()


def looks_back_only(model: PretrainedModel, tokens: Tensor) -> bool:
    """Whether a changed last token leaves the logits before it as they are."""
    other = tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % model.config.vocabulary
    with torch.no_grad():
        return close(model(tokens)[:, :-1], model(other)[:, :-1])


def spans_hold(model: LayeredPretrainedModel, tokens: Tensor) -> bool:
    """Whether stopping at each layer and starting there again gives what going through gives."""
    with torch.no_grad():
        whole = _noting_what_a_block_returns(model, tokens)
        try:
            return all(
                close(model(model(tokens, stop_at_layer=layer), start_at_layer=layer), whole)
                for layer in {0, 1, model.config.layers // 2, model.config.layers}
            )
        except (
            Exception
        ):  # whatever a foreign architecture raises, it says the same: it cannot be started midway
            return False


def _noting_what_a_block_returns(model: LayeredPretrainedModel, tokens: Tensor) -> Tensor:
    def note(block: Any, inputs: Any, output: Any) -> None:
        model.handed_on = len(output) if isinstance(output, tuple) else 0

    handle = model.bridge.blocks[0].register_forward_hook(note)
    try:
        return model(tokens)  # type: ignore[no-any-return]
    finally:
        handle.remove()
