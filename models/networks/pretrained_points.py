"""Which points of a bridged Hugging Face model are offered, where each is tapped, and how its layout becomes ours.

An allow-list: names of our vocabulary only, each with the place in transformer-lens's bridge that it is read from.
Nothing on this list is believed: pretrained_proof.py runs the network once and keeps what fires once, has the axes
promised, and keeps the identities that the names imply. Three points are tapped otherwise than by a bridge's hook:

- `attn.hook_attn_scores`: the bridge's own is behind the mask (and in attention it leaves to Hugging Face it holds the
  pattern); ours stands before the mask, at the call that applies it, so that no edit can leak the future.
- `hook_resid_mid`: the bridge's own is what the second norm reads, and an edit there would not reach the skip
  connection; ours adds the change to what leaves the block as well.
- `hook_logits`: what the network returns, after any soft cap.

A tap is attached only while someone reads or edits its point, and only for the length of a forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from models.networks.hooked import AxisHookPoint, hook

Change = Callable[[Tensor], Tensor | None]
RESIDUAL = ("example", "pos", "d_model")
SQUARE = ("example", "head", "query_pos", "key_pos")
BLOCK_POINTS: dict[str, tuple[str, ...]] = {
    "hook_resid_pre": RESIDUAL,
    "hook_resid_mid": RESIDUAL,
    "hook_resid_post": RESIDUAL,
    "hook_attn_out": RESIDUAL,
    "hook_mlp_out": RESIDUAL,
    "attn.hook_q": ("example", "pos", "head", "d_head"),
    "attn.hook_k": ("example", "pos", "key_head", "d_head"),
    "attn.hook_v": ("example", "pos", "key_head", "d_head"),
    "attn.hook_rot_q": ("example", "pos", "head", "d_head"),
    "attn.hook_rot_k": ("example", "pos", "key_head", "d_head"),
    "attn.hook_attn_scores": SQUARE,
    "attn.hook_pattern": SQUARE,
    "attn.hook_z": ("example", "pos", "head", "d_head"),
    "attn.hook_result": ("example", "pos", "head", "d_model"),
    "mlp.hook_pre": ("example", "pos", "neuron"),
    "mlp.hook_pre_linear": ("example", "pos", "neuron"),
    "mlp.hook_post": ("example", "pos", "neuron"),
    "ln1.hook_scale": ("example", "pos", "1"),
    "ln1.hook_normalized": RESIDUAL,
    "ln2.hook_scale": ("example", "pos", "1"),
    "ln2.hook_normalized": RESIDUAL,
}
OUTER_POINTS: dict[str, tuple[str, ...]] = {
    "hook_embed": RESIDUAL,
    "hook_pos_embed": RESIDUAL,
    "ln_final.hook_scale": ("example", "pos", "1"),
    "ln_final.hook_normalized": RESIDUAL,
}
MASKING = "_apply_reconstruct_attention_mask"


class Tap(Protocol):
    """A place in the bridged network where what passes can be seen and replaced."""

    def attached(self, change: Change) -> AbstractContextManager[None]: ...


@dataclass(frozen=True, eq=False)
class HookTap:
    """A hook point of the bridge; `first`: before the hooks that are there."""

    source: Any
    first: bool = False

    @contextmanager
    def attached(self, change: Change) -> Iterator[None]:
        """The change in force for the length of the block."""
        # by the bridge's own add_hook: its norms only build a graph for hooks that are on its list
        handle = self.source.add_hook(lambda tensor, hook: change(tensor), prepend=self.first)
        try:
            yield
        finally:
            handle.hook.remove()
            self.source.fwd_hooks.remove(handle)


@dataclass(frozen=True, eq=False)
class BeforeMask:
    """The scores on their way into the mask, in an attention that the bridge computes itself."""

    attention: Any

    @contextmanager
    def attached(self, change: Change) -> Iterator[None]:
        """The change in force for the length of the block."""
        mask = getattr(self.attention, MASKING)

        def change_then_mask(attn_scores: Tensor, *rest: Any, **named: Any) -> Tensor:
            changed = change(attn_scores)
            return mask(attn_scores if changed is None else changed, *rest, **named)  # type: ignore[no-any-return]

        self.attention.__dict__[MASKING] = change_then_mask
        try:
            yield
        finally:
            del self.attention.__dict__[MASKING]


@dataclass(frozen=True, eq=False)
class MidStream:
    """The residual stream between attention and MLP: the norm's input, and the skip connection around it."""

    norm_input: Any
    block_output: Any

    @contextmanager
    def attached(self, change: Change) -> Iterator[None]:
        """The change in force for the length of the block."""
        moved: list[Tensor] = []

        def at_norm(stream: Tensor) -> Tensor | None:
            changed = change(stream)
            moved[:] = [] if changed is None else [changed - stream]
            return changed

        def behind_block(stream: Tensor) -> Tensor | None:
            return stream + moved.pop().reshape(stream.shape) if moved else None  # x + 0 keeps its bits

        with (
            HookTap(self.norm_input).attached(at_norm),
            HookTap(self.block_output, first=True).attached(behind_block),
        ):
            yield


@dataclass(frozen=True)
class Layout:
    """From the bridge's axes to ours, and back; `read` is given the number of examples too."""

    read: Callable[[Tensor, int], Tensor]
    write: Callable[[Tensor], Tensor]


def layouts(heads: int) -> tuple[Layout, ...]:
    """What a bridge may hand over: as ours; heads side by side; heads before positions; shared by all examples;
    examples and positions in one row."""
    return (
        Layout(lambda x, examples: x, lambda x: x),
        Layout(lambda x, examples: x.reshape(*x.shape[:-1], heads, -1), lambda x: x.flatten(-2)),
        Layout(lambda x, examples: x.transpose(1, 2), lambda x: x.transpose(1, 2)),
        Layout(lambda x, examples: x.expand(examples, *x.shape[1:]), lambda x: x),
        Layout(lambda x, examples: x.reshape(examples, -1, *x.shape[1:]), lambda x: x.flatten(0, 1)),
    )


@dataclass(frozen=True, eq=False)
class Candidate:
    """A point of the vocabulary that the network may have, and where it would be tapped."""

    name: str
    axes: tuple[str, ...]
    tap: Tap


@dataclass(eq=False)
class Route:
    """One offered point: ours, its tap, and the layouts between them."""

    name: str
    tap: Tap
    layout: Layout
    point: AxisHookPoint = field(default_factory=hook)

    @property
    def alive(self) -> bool:
        """Whether anything is attached to the point."""
        point = self.point
        return bool(
            point._forward_hooks
            or point._forward_pre_hooks
            or point._backward_hooks
            or point._backward_pre_hooks
        )

    def attached(self, examples: int) -> AbstractContextManager[None]:
        """The point in the network's path, for the length of the block."""

        def through_point(tensor: Tensor) -> Tensor | None:
            ours = self.layout.read(tensor, examples)
            result = self.point(ours)
            if result is ours and not (torch.is_grad_enabled() and ours.requires_grad):
                return None
            # a tensor of its own: where gradients are taken, they must pass through the very tensor that was shown
            handed_on = self.layout.write(result)
            return handed_on.view_as(handed_on)

        return self.tap.attached(through_point)


def candidates(bridge: Any, layers: int) -> tuple[tuple[Candidate, ...], dict[str, str]]:
    """Every point of the vocabulary that the bridge has a place for, and why not the others.

    The bridge's own layout conversions are switched off: `layouts` does that in both directions, and it is checked.
    """
    found: list[Candidate] = []
    absent: dict[str, str] = {}
    for name, axes in _vocabulary(layers):
        if (tap := _tap(bridge, name)) is None:
            absent[name] = "transformer-lens has no place for it in this architecture"
        else:
            found.append(Candidate(name, axes, tap))
    return tuple(found), absent


def _vocabulary(layers: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield from OUTER_POINTS.items()
    for layer in range(layers):
        for name, axes in BLOCK_POINTS.items():
            yield f"blocks.{layer}.{name}", axes


def _tap(bridge: Any, name: str) -> Tap | None:
    block, _, rest = name.rpartition(".hook_")
    if rest == "attn_scores":
        attention = getattr(bridge.blocks[int(name.split(".")[1])], "attn", None)
        return None if getattr(attention, MASKING, None) is None else BeforeMask(attention)
    source = bridge.hook_dict.get(name)
    if source is None:
        return None
    source.hook_conversion = None
    return (
        MidStream(source, bridge.hook_dict[f"{block}.hook_out"]) if rest == "resid_mid" else HookTap(source)
    )
