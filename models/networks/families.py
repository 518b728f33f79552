"""Every family of networks, one line each: its config (which imports no torch) and where its class is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from models.networks.cnn_config import CNNConfig
from models.networks.mlp_config import MLPConfig
from models.networks.recurrent_config import RecurrentConfig
from models.networks.seq2seq_config import Seq2SeqConfig
from models.networks.transformer_config import TransformerConfig
from models.networks.vit_config import ViTConfig

if TYPE_CHECKING:
    from models.networks.hooked import HookedModel

NetworkConfig = Annotated[
    MLPConfig | TransformerConfig | RecurrentConfig | Seq2SeqConfig | CNNConfig | ViTConfig,
    Field(discriminator="family"),
]

CLASSES = {
    "mlp": "models.networks.mlp:MLP",
    "transformer": "models.networks.transformer:Transformer",
    "recurrent": "models.networks.recurrent:Recurrent",
    "cnn": "models.networks.cnn:CNN",
    "vit": "models.networks.vit:ViT",
    "seq2seq": "models.networks.seq2seq:Seq2Seq",
}


def network_class(config: NetworkConfig) -> type[HookedModel]:
    """The class that builds networks of this config: `network_class(config)(config, seeds=…)`."""
    module, name = CLASSES[config.family].split(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]
