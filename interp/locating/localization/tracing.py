"""Causal tracing: spoil the subject, put back what one part would have put out, and see how far the margin recovers.

Noise is added to the subject's embeddings, normal, of as many times the embeddings' standard deviation (1, 2, 3, 5 or
8) as it takes to make the network lose four fifths of the facts it knows, each seed by itself; where 8 do not suffice,
8 it is. Then a part's output is restored from the clean run, at all positions. Meng et al. (2022) used three standard
deviations and single positions, and measured probabilities. Restoring the embedding restores everything, and the
unembedding's output is the answer itself: both cannot be seen. It misleads where noise drives a network off all it
knows: what then recovers need not be what is used in a clean run (Zhang and Nanda 2024).

Sources: Meng et al. 2022, https://arxiv.org/abs/2202.05262; Zhang and Nanda 2024, https://arxiv.org/abs/2309.16042.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from interp.locating.localization.inquiry import Inquiry
from interp.locating.localization.parts import Part
from interp.reading.capture import capture
from interp.writing.edits import Edit, patch

STRENGTHS = (1.0, 2.0, 3.0, 5.0, 8.0)
LOST = 0.8
EMBEDDING = "hook_embed"


def causal_tracing(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part example"]:
    """How far each margin recovers, in nats, when a part's clean output is put back into a spoilt run."""
    hooks = sorted({part.hook for part in parts if part.hook is not None} | {EMBEDDING})
    clean = capture(inquiry.model, inquiry.asked, hooks, batch_size=len(inquiry.asked))
    spoilt, noise = _spoilt(inquiry, clean.tensor(EMBEDDING))
    recovered = []
    for part in parts:
        if part.hook is None or part.hook == EMBEDDING:
            recovered.append(inquiry.unseen())
            continue
        restored = patch(part.hook, clean.tensor(part.hook), **part.where)
        recovered.append(inquiry.asked.margins(inquiry.model, [noise, restored]) - spoilt)
    return torch.stack(recovered, dim=-2)


def _spoilt(inquiry: Inquiry, embedded: Tensor) -> tuple[Tensor, Edit]:
    """The margins under the weakest noise, in each seed, that makes enough facts be lost; that noise as an edit."""
    known = inquiry.untouched > 0
    real = embedded[..., inquiry.asked.real().cpu(), :]
    unit = real.flatten(-2).std(-1)[..., None, None, None] * _noise(inquiry, embedded)
    enough = torch.zeros_like(known[..., 0])
    strength = torch.zeros_like(inquiry.untouched[..., 0])
    embedded, unit = embedded.to(strength), unit.to(strength)
    for stronger in STRENGTHS:
        strength = torch.where(enough, strength, stronger)
        noise = patch(EMBEDDING, embedded + strength[..., None, None, None] * unit)
        margins = inquiry.asked.margins(inquiry.model, noise)
        enough = ((margins <= 0) & known).sum(-1) >= LOST * known.sum(-1)
        if bool(enough.all()):
            break
    return margins, noise


def _noise(inquiry: Inquiry, embedded: Tensor) -> Tensor:
    """Standard normal at the subject's positions, the same for every seed; zero elsewhere."""
    drawn = torch.randn(embedded.shape[-3:], generator=torch.Generator().manual_seed(0)).to(embedded)
    first, last = (inquiry.asked.positions[name][:, None] for name in ("subject_first", "subject_last"))
    pos = torch.arange(embedded.shape[-2], device=first.device)
    return drawn * ((pos >= first) & (pos <= last))[..., None].to(embedded)
