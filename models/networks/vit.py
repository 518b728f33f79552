"""The vision transformer: patches of an image as tokens of a bidirectional transformer.

Each patch's pixels are mapped linearly to a token, positions are learned, the transformer's own blocks follow, and the
logits are a linear map of the class token, or of the mean over the patches, after the final normalisation (Dosovitskiy
et al. 2021, https://arxiv.org/abs/2010.11929).

Hook points: `hook_input [example, pixel]`; `hook_embed` and `hook_pos_embed [example, pos, d_model]`, the class token
at position 0 where there is one, then the patches row by row; `blocks.{l}.*` and `ln_final.*` as a transformer's;
`hook_logits [example, class]`. In a population `seed` stands in front, except on images that all members share.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.networks.blocks import Block
from models.networks.hooked import HookedModel, hook, layers_between
from models.networks.mlp import Affine
from models.networks.parameters import Draw
from models.networks.positionwise import linear, normalization
from models.networks.transformer import PositionEmbedding
from models.networks.vit_config import ViTConfig
from models.refusals import Refused


def patches(
    pixels: Float[Tensor, "*any pixel"], image_shape: tuple[int, int], patch: int
) -> Float[Tensor, "*any pos patch_pixel"]:
    """The patches of images given row by row, each row by row itself."""
    rows, columns = (length // patch for length in image_shape)
    parted = pixels.reshape(*pixels.shape[:-1], rows, patch, columns, patch).transpose(-3, -2)
    return parted.flatten(-2).flatten(-3, -2)


class PatchEmbedding(nn.Module):
    """`W_E [*seed, patch pixel, d_model]`, `b_E`, and the class token `W_class [*seed, d_model]` where there is one."""

    def __init__(self, config: ViTConfig, draw: Draw) -> None:
        super().__init__()
        self.image_shape, self.patch = config.image_shape, config.patch
        width, scale = config.patch**2, config.init_scale
        self.W_E = draw.normal(width, config.d_model, std=scale * width**-0.5)
        self.b_E = draw.constant(config.d_model)
        self.W_class = None
        if config.summary == "class":
            self.W_class = draw.normal(config.d_model, std=scale * config.d_model**-0.5)

    def forward(self, pixels: Tensor) -> Tensor:
        """Tokens `[*seed, example, pos, d_model]` of images `[*seed, example, pixel]`."""
        cut = patches(pixels, self.image_shape, self.patch)
        if self.W_E.ndim == 3:
            cut = cut.expand(len(self.W_E), *cut.shape[-3:])
        embedded = linear(cut, self.W_E, self.b_E)
        if self.W_class is None:
            return embedded
        first = self.W_class[..., None, None, :].expand(*embedded.shape[:-2], 1, embedded.shape[-1])
        return torch.cat((first, embedded), dim=-2)


class ViT(HookedModel):
    """A vision transformer, or a population of them; see `ViTConfig`."""

    config: ViTConfig

    def __init__(self, config: ViTConfig, *, seeds: int | Sequence[int] = 0) -> None:
        super().__init__(config, seeds)
        draw = Draw(self.every_seed, alone=self.seeds is None)
        stream = ("example", "pos", "d_model")
        self.hook_input = hook("example", "pixel")
        self.embed = PatchEmbedding(config, draw)
        self.hook_embed = hook(*stream)
        self.pos_embed = PositionEmbedding(config.trunk, draw)
        self.hook_pos_embed = hook(*stream)
        self.blocks = nn.ModuleList(Block(config.trunk, draw) for _ in range(config.layers))
        self.ln_final = normalization(config.trunk, draw)
        std = config.init_scale * config.d_model**-0.5
        self.unembed = Affine(
            draw.normal(config.d_model, config.outputs, std=std), draw.constant(config.outputs)
        )
        self.hook_logits = hook("example", "class")
        self.ready()

    def example_input(self) -> Tensor:
        """One blank image, `[1, pixel]`."""
        return torch.zeros(1, self.config.inputs, dtype=self.dtype, device=self.device)

    def forward(
        self, inputs: Tensor, *, start_at_layer: int | None = None, stop_at_layer: int | None = None
    ) -> Tensor:
        """The logits, `[*seed, example, class]`, of images `[example, pixel]` (or `[seed, example, pixel]`).

        `start_at_layer=l`: `inputs` are what enters layer l, `[*seed, example, pos, d_model]`. `stop_at_layer=l`:
        returns what enters layer l. The layer after the last is the final normalisation and the unembedding.
        """
        start, stop = layers_between(start_at_layer, stop_at_layer, last=self.config.layers)
        resid = self._embedded(inputs) if start_at_layer is None else self._entering(inputs, start)
        for block in self.blocks[start:stop]:
            resid = block(resid)
        if stop_at_layer is not None:
            return resid
        normalized = self.ln_final(resid)
        summary = normalized[..., 0, :] if self.config.summary == "class" else normalized.mean(dim=-2)
        return self.hook_logits(self.unembed(summary))  # type: ignore[no-any-return]

    def _embedded(self, pixels: Tensor) -> Tensor:
        own = pixels.ndim == 3 and self.seeds is not None and len(pixels) == len(self.seeds)
        if not (own or pixels.ndim == 2) or pixels.shape[-1] != self.config.inputs:
            axes = f"[example, {self.config.inputs}]"
            more = (
                "" if self.seeds is None else f" or [{len(self.seeds)} seeds, example, {self.config.inputs}]"
            )
            raise Refused(f"The network takes images {axes}{more}; given shape {tuple(pixels.shape)}.")
        embedded = self.hook_embed(self.embed(self.hook_input(pixels)))
        return embedded + self.hook_pos_embed(self.pos_embed(embedded))  # type: ignore[no-any-return]

    def _entering(self, resid: Tensor, layer: int) -> Tensor:
        seeds = () if self.seeds is None else (len(self.seeds),)
        after = (self.config.positions, self.config.d_model)
        if resid.ndim != len(seeds) + 3 or resid.shape[:-3] != seeds or resid.shape[-2:] != after:
            axes = ", ".join(map(str, [*seeds, "example", *after]))
            raise Refused(f"What enters layer {layer} is [{axes}]; given shape {tuple(resid.shape)}.")
        return resid
