"""stories260K: a small language model trained on children's stories, as a network that was not trained here.

260,000 parameters in 5 layers of 8 heads, a vocabulary of 512 (Karpathy 2023, https://huggingface.co/karpathy/tinyllamas;
the stories: Eldan and Li 2023, TinyStories, https://arxiv.org/abs/2305.07759). It is read from `stories260K` in the
folder that INTERP_DATA_DIR names, as Hugging Face saves models, and its weights must have the known checksum.

There is one such network. What is found of it is found of it alone, and intervals over draws of text say nothing of
other networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import models
from models.data.fetch import DataFile, find
from models.refusals import BadFile

if TYPE_CHECKING:
    from torch import Tensor

    from models.networks.pretrained_model import PretrainedModel

WEIGHTS = DataFile(
    "stories260K/model.safetensors",
    "407a7c581bdd66972383ce9ad24857713fb98786d06ea564a2fe9b34ebe77dfd",
    ("https://huggingface.co/karpathy/tinyllamas",),
)
FIRST_TOKEN, PIECES = 1, range(259, 512)
"""What every text begins with; the tokens that are pieces of words (those before are signs and single bytes)."""


def stories() -> PretrainedModel:
    """The network. Raises `BadFile` where it is not, or altered, saying where it belongs."""
    weights = find(WEIGHTS)
    if weights is None:
        raise BadFile(
            f"{WEIGHTS.path} is not here. Convert {WEIGHTS.urls[0]} (stories260K) to a Hugging Face folder, put it as "
            "stories260K into a folder, and name that in INTERP_DATA_DIR."
        )
    return models.load_pretrained(weights.parent)


def shuffled(seed: int = 0) -> PretrainedModel:
    """The same network with the entries of each weight matrix in another order: as large, and it knows nothing."""
    import torch

    from models.seeds import generator

    model = stories()
    with torch.no_grad():
        for place, weights in enumerate(model.parameters()):
            order = torch.randperm(weights.numel(), generator=generator(seed, "shuffled weights", place))
            weights.copy_(weights.flatten()[order].view(weights.shape))
    return model


def own_stories(model: PretrainedModel, *, count: int, length: int, seed: int) -> Tensor:
    """Beginnings of stories as the network itself draws them at temperature 1, int64 `[example, pos]`."""
    import torch

    begun = torch.full((count, 1), FIRST_TOKEN)
    return models.generate(model, begun, count=length - 1, temperature=1.0, seed=seed)
