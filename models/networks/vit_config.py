"""What a vision transformer is, as inert data (no torch is imported here)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

from models.networks.config_checks import whole
from models.networks.image_config import OfImages, shape_of
from models.networks.transformer_config import Activation, Normalization, TransformerConfig
from models.refusals import Refused, one_of

Summary = Literal["class", "mean"]


@dataclass(frozen=True)
class ViTConfig(OfImages):
    """A bidirectional transformer whose tokens are the patches of an image, `patch` x `patch` pixels each.

    It reads grey images of `image_shape` (rows, columns), given as their pixels row by row. The logits are read from a
    class token that stands before the patches (`summary="class"`) or from the mean over the patches ("mean"), after the
    final normalisation. All else is as in `TransformerConfig`: `heads=0` leaves attention out, `d_mlp=0` the MLPs, and
    weights are drawn as there; a patch's embedding is drawn from N(0, init_scale^2 / pixels of a patch), bias 0.
    """

    image_shape: tuple[int, int]
    patch: int
    layers: int = 2
    d_model: int = 64
    heads: int = 4
    d_mlp: int = 128
    outputs: int = 10
    summary: Summary = "class"
    activation: Activation = "gelu"
    normalization: Normalization = "layernorm"
    init_scale: float = 1.0
    family: Literal["vit"] = "vit"

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        self.settle_shape()
        for size in (self.patch, self.outputs):
            whole("Each of patch and outputs", size, 1)
        one_of("summary", self.summary, Summary)
        one_of("family", self.family, Literal["vit"])
        rows, columns = self.image_shape
        if rows % self.patch or columns % self.patch:
            raise Refused(
                f"Images of {rows}x{columns} do not part into patches of {self.patch}x{self.patch}: give a patch that "
                "divides rows and columns."
            )
        assert self.trunk.layers == self.layers  # building it refuses what a transformer cannot be

    @cached_property
    def trunk(self) -> TransformerConfig:
        """The transformer that the patches pass; it has no tokens of its own, its vocabulary is the classes."""
        return TransformerConfig(
            vocabulary=self.outputs,
            context=self.positions,
            layers=self.layers,
            d_model=self.d_model,
            heads=self.heads,
            d_mlp=self.d_mlp,
            activation=self.activation,
            normalization=self.normalization,
            causal=False,
            init_scale=self.init_scale,
        )

    @property
    def positions(self) -> int:
        """How many patches an image has, and one more for the class token where there is one."""
        rows, columns = self.image_shape
        return (rows // self.patch) * (columns // self.patch) + (self.summary == "class")

    @property
    def context(self) -> int:
        """The same, as a transformer calls it."""
        return self.positions

    @property
    def d_head(self) -> int:
        """Dimensions of a head."""
        return self.trunk.d_head

    @property
    def key_heads(self) -> int:
        """Heads of keys and values: as many as heads."""
        return self.trunk.key_heads

    def resized(self, *, inputs: int, outputs: int) -> ViTConfig:
        """The same network for images of another size (see `image_config.shape_of`) and another number of classes.

        The image is parted into as many patches as before where it can be, else into patches as large as before.
        """
        shape = shape_of(inputs, self.image_shape)
        patch = shape[0] * self.patch // self.image_shape[0]
        as_many = all(
            new * self.patch == patch * old for new, old in zip(shape, self.image_shape, strict=True)
        )
        return replace(self, image_shape=shape, patch=patch if as_many else self.patch, outputs=outputs)
