"""Facts and text: 4,000 facts by heart, and a sequence continued with kept keys and values (one thread).

The facts are the recipe `facts` as it stands (2 layers, d_model 64, 4 heads, d_mlp 256). Continued are 8 sequences of
16 tokens by 240 more, with 4 layers of d_model 64, against a whole pass for each new token; processor time both.
"""

from __future__ import annotations

import time

import torch

from models.data.loading import load_data
from models.networks.generation import WholeReading, generate
from models.networks.key_value_cache import CachedReading
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.training.recipes import recipe
from models.training.train import one_thread, train

CONFIG = TransformerConfig(vocabulary=100, context=256, layers=4)


def rows() -> list[tuple[str, float, str]]:
    """(what, measured, bound) of each target."""
    seconds, known = facts_by_heart()
    with one_thread():
        faster, apart = continued()
    return [
        ("4,000 facts learned by a network of d_model 64, seconds on one core", seconds, "<= 15"),
        ("share of them known", known, ">= 0.99"),
        ("240 tokens after 16, kept keys and values faster than whole passes by", faster, ">= 3"),
        ("largest difference of the logits, in units of 1e-5", apart / 1e-5, "<= 1"),
    ]


def facts_by_heart() -> tuple[float, float]:
    """Processor seconds of the recipe `facts` for one seed, and the share it knows then."""
    data = load_data("world")
    began = time.process_time()
    metrics = train(recipe("facts"), seeds=1, data=data).metrics
    return time.process_time() - began, float(metrics["known"].iloc[-1])


@torch.no_grad()
def continued() -> tuple[float, float]:
    """How many times less processor time the cache takes, and how far its logits are from a whole pass."""
    model = Transformer(CONFIG)
    tokens = torch.randint(100, (8, 16), generator=torch.Generator().manual_seed(0))
    began = time.process_time()
    text = generate(model, tokens, count=240)
    cached = time.process_time() - began
    whole, kept = WholeReading(model), CachedReading(model, (8,), longest=255)
    apart, spent = 0.0, 0.0
    for piece in (text[:, :16], *text[:, 16:-1].split(1, dim=1)):
        began = time.process_time()
        expected = whole.after(piece)
        spent += time.process_time() - began
        apart = max(apart, float((expected - kept.after(piece)).abs().max()))
    return spent / cached, apart


if __name__ == "__main__":
    for what, measured, bound in rows():
        print(f"{what:70} {measured:7.3f}   {bound}")
