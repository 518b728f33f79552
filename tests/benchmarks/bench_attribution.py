"""Attribution beside what it estimates or what others give: edges, nodes, integrated gradients (one thread).

Edges and heads of a transformer (4 layers, d_model 64, 4 heads, d_mlp 256; 8 sequences of 12 tokens) with the weights
it begins with: estimates by gradient against exact patching of every edge, and of every head at every position, in
time and in rank correlation. Integrated gradients of a 784-256-256-10 MLP on 64 examples, 32 steps, against captum's,
both by the same rule. The sides of a ratio take turns within one loop; processor time, medians.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import captum.attr
import torch
from timing import interleaved
from torch import Tensor

from interp.locating.attribution import integrated_gradients
from interp.locating.edges import edge_attribution, edge_effects
from interp.locating.node_patching import Nodes, attribution_patching, exact_patching, rank_correlation
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.training.train import one_thread

CONFIG = TransformerConfig(vocabulary=64, context=12, layers=4, d_model=64, heads=4, d_mlp=256)
HEADS = Nodes("blocks.*.attn.hook_z", along=("head", "pos"))
STEPS = 32


def rows() -> list[tuple[str, float, str]]:
    """(what, measured, bound); no bound is set for any of them."""
    with one_thread():
        found = [*of_edges(repeats=3), *of_heads(repeats=3), beside_captum(repeats=9)]
    return [(what, value, "for comparison") for what, value in found]


def of_edges(*, repeats: int) -> list[tuple[str, float]]:
    """How many times faster than exact patching EAP and EAP-IG are, and how alike they rank the edges."""
    given = runs()
    exact, eap, eap_ig = (
        partial(edge_effects, *given),
        partial(edge_attribution, *given),
        partial(edge_attribution, *given, steps=5),
    )
    slow, fast, integrated = interleaved([exact, eap, eap_ig], repeats)
    truth, count = exact(), exact().sizes["edge"]
    return [
        (f"{count} edges by EAP, faster than exact patching by", slow / fast),
        (f"{count} edges by EAP-IG of 5 steps, faster by", slow / integrated),
        ("rank correlation of EAP with exact", float(rank_correlation(eap(), truth))),
        ("rank correlation of EAP-IG with exact", float(rank_correlation(eap_ig(), truth))),
    ]


def of_heads(*, repeats: int) -> list[tuple[str, float]]:
    """The same of every head at every position, by attribution patching."""
    exact, estimate = partial(exact_patching, *runs(), HEADS), partial(attribution_patching, *runs(), HEADS)
    slow, fast = interleaved([exact, estimate], repeats)
    count = exact().sizes["node"]
    return [
        (f"{count} heads at positions by attribution patching, faster than a sweep by", slow / fast),
        ("rank correlation of attribution patching with exact", float(rank_correlation(estimate(), exact()))),
    ]


def beside_captum(*, repeats: int) -> tuple[str, float]:
    """How many times less time integrated gradients take than captum's of the same rule and steps."""
    model = MLP(MLPConfig((784, 256, 256, 10), activation="tanh", initialisation="lecun")).eval()
    inputs = torch.rand(64, 784, generator=torch.Generator().manual_seed(0))
    theirs = captum.attr.IntegratedGradients(model)

    def captums() -> object:
        return theirs.attribute(inputs, target=3, n_steps=STEPS, method="gausslegendre")

    def ours() -> object:
        return integrated_gradients(model, inputs, lambda output: output[:, 3], "hook_input", steps=STEPS)

    fast, slow = interleaved([ours, captums], repeats)
    return f"integrated gradients, {STEPS} steps, faster than captum's by", slow / fast


def runs() -> tuple[Transformer, Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """A network, clean and corrupt tokens, and a logit difference at the last position."""
    randomness = torch.Generator().manual_seed(0)
    clean, corrupt = torch.randint(CONFIG.vocabulary, (2, 8, CONFIG.context), generator=randomness)
    return Transformer(CONFIG).eval(), clean, corrupt, difference


def difference(logits: Tensor) -> Tensor:
    """The logit of one token less that of another, where the sequence ends."""
    return logits[..., -1, 1] - logits[..., -1, 2]


if __name__ == "__main__":
    for what, measured, bound in rows():
        print(f"{what:80} {measured:7.2f}   {bound}")
