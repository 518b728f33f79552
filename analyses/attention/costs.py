"""What attention of each kind costs, counted: the counting behind `what_do_cheaper_attentions_lose`.

Operations are counted by torch while attention runs over a sequence: two for each multiplication and addition of a
matrix product (the fused kernel is made to run as the matrix products that it stands for, the whole square of them, as
masked scores are made too). What projects to queries, keys and values is left out: it is the same for all and grows
with the length. Kept numbers are those that writing one more token needs of the earlier ones in a layer: keys and
values of what it may see, or the running sums.
"""

from __future__ import annotations

import models


def operations(network: models.TransformerConfig, length: int) -> int:
    """How many it takes one layer to gather values at all of `length` positions."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from models.networks.attention import fused_attention
    from models.networks.cheaper_attention import linear_attention, windowed_attention

    q = torch.ones(1, length, network.heads, network.d_head)
    k = torch.ones(1, length, network.key_heads, network.d_head)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        if network.attention == "linear":
            linear_attention(q, k, k)
        elif network.window and length > network.window:
            windowed_attention(q, k, k, window=network.window)
        else:
            fused_attention(q, k, k, causal=True)
    return int(counter.get_total_flops())


def kept_numbers(network: models.TransformerConfig, length: int) -> int:
    """How many numbers one layer keeps of `length` positions to go on from there."""
    if network.attention == "linear":
        return network.key_heads * network.d_head * (network.d_head + 1)
    seen = min(length, network.window) if network.window else length
    return 2 * seen * network.key_heads * network.d_head
