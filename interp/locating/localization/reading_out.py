"""Reading out: what a part's output says of the true object, whether or not anything uses it.

- direct logit attribution: the part's share of the true object's logit at the answer (direct.py);
- readability: a ridge probe from the part's output at the answer to the object, fitted on other facts; the effect is
  its score of the true object less its highest of another;
- key-value reading: an MLP's neurons as memories, whose values (rows of W_out) are read as logits, less the logits of
  an empty stream. The effect is the share of a fact's activation that lies on neurons with the true object among the
  ten tokens their value raises most.
  Geva et al. (2021) found their keys by the prompts that activate them; here the fact itself is the prompt.

They mislead where a part speaks through later ones: a subject looked up in the first layer need say nothing of the
object yet. Readable is not used.

Sources: Geva et al. 2021, https://arxiv.org/abs/2012.14913; Hernandez et al. 2024, https://arxiv.org/abs/2308.09124.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from interp.locating.direct import direct_logit_attribution
from interp.locating.localization.asking import Asked, last_layer
from interp.locating.localization.inquiry import Inquiry
from interp.locating.localization.parts import Part
from interp.measuring.linear import scores
from interp.measuring.ridge import fit_ridge
from interp.reading.capture import capture
from interp.refusals import Refused

RAISED = 10


def direct_attribution(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part example"]:
    """Each part's share of the true object's logit."""
    asked = inquiry.asked
    due = asked.targets[:, None].expand(asked.inputs.shape)
    shares = direct_logit_attribution(
        inquiry.model, asked, due, neurons=any(_of_neurons(part) for part in parts)
    )
    contribution = shares["contribution"]
    every, found = [str(name) for name in contribution["part"].to_numpy()], []
    for part in parts:
        own = [name for name in every if _belongs(name, part)]
        if not own:
            found.append(inquiry.unseen())
            continue
        summed = contribution.sel(part=own).sum("part").transpose(..., "example", "pos")
        share = torch.from_numpy(summed.to_numpy()).to(inquiry.untouched)
        found.append(
            share.gather(-1, asked.positions["answer_pos"][:, None].expand(*share.shape[:-1], 1)).squeeze(-1)
        )
    return torch.stack(found, dim=-2)


def _of_neurons(part: Part) -> bool:
    return "neuron" in part.where


def _belongs(name: str, part: Part) -> bool:
    """Whether a part of the logit belongs to this part of the network."""
    if not part.where:
        return name == part.name or name.startswith((f"{part.name}[", f"{part.name}.bias"))
    (numbers,) = part.where.values()
    whole = part.name.partition("[")[0]
    return any(name == f"{whole}[{number}]" for number in numbers)


def readability(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part example"]:
    """How well a probe fitted on other facts reads the object of each fact from a part's output."""
    hooks = sorted({part.hook for part in parts if part.hook is not None})
    kept, labels, of_fact = _objects(inquiry)
    known = capture(inquiry.model, kept, hooks, batch_size=len(kept))
    new = capture(inquiry.model, inquiry.asked, hooks, batch_size=len(inquiry.asked))
    found = []
    for part in parts:
        if part.hook is None:
            found.append(inquiry.unseen())
            continue
        fitted = kept.at_answer(part.chosen(known.tensor(part.hook))).double()
        probes = fit_ridge(fitted, labels, classes=int(labels.max()) + 1)
        read = scores(probes, inquiry.asked.at_answer(part.chosen(new.tensor(part.hook))).double())
        found.append(_ahead(read, of_fact).to(inquiry.untouched))
    return torch.stack(found, dim=-2)


def _objects(inquiry: Inquiry) -> tuple[Asked, Tensor, Tensor]:
    """The other facts whose object occurs twice or more, their objects as classes, and the asked facts' classes."""
    targets = inquiry.others.targets.cpu()
    tokens, counts = torch.unique(targets, return_counts=True)
    usual = tokens[counts >= 2]
    if len(usual) < 2:
        raise Refused("A probe of objects takes reference facts of which two objects or more occur twice.")
    kept = inquiry.others.rows(torch.isin(targets, usual).nonzero().flatten())
    place = torch.full((int(max(targets.max(), inquiry.asked.targets.max())) + 1,), -1)
    place[usual] = torch.arange(len(usual))
    return kept, place[kept.targets.cpu()], place[inquiry.asked.targets.cpu()]


def _ahead(read: Float[Tensor, "*seed example object"], of_fact: Tensor) -> Tensor:
    """The true object's score less the highest of another; an object the probe never met scores as the lowest."""
    met = (of_fact >= 0).expand(read.shape[:-1])
    index = of_fact.clamp(min=0).expand(read.shape[:-1])[..., None]
    own = torch.where(met, read.gather(-1, index).squeeze(-1), read.amin(-1))
    others = torch.where(met[..., None], read.scatter(-1, index, float("-inf")), read)
    return own - others.amax(-1)


def key_value_reading(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part example"]:
    """The share of a fact's activation that lies on neurons whose value raises the true object."""
    layers = sorted({str(part.layer) for part in parts if _is_memory(part)})
    shares = {layer: _raising(inquiry, layer) for layer in layers}
    found = []
    for part in parts:
        if not _is_memory(part):
            found.append(inquiry.unseen())
        else:
            share = shares[str(part.layer)]
            own = share if not part.where else share[..., part.where["neuron"]]
            found.append(own.sum(-1).to(inquiry.untouched))
    return torch.stack(found, dim=-2)


def _is_memory(part: Part) -> bool:
    """A whole MLP, or some of its neurons; a single matrix has keys or values, not both."""
    return part.is_mlp and part.name.partition("[")[0].endswith(".mlp")


@torch.no_grad()
def _raising(inquiry: Inquiry, layer: str) -> Float[Tensor, "*seed example neuron"]:
    """Each neuron's share of the activation at the answer, where its value raises the true object; else 0."""
    model, asked, last = inquiry.model, inquiry.asked, last_layer(inquiry.model)
    values = dict(model.named_parameters()).get(f"blocks.{layer}.mlp.W_out")
    if values is None or last is None:
        raise Refused(
            "Key-value reading takes an MLP with a matrix W_out, in a network that starts at any layer."
        )
    empty = torch.zeros_like(values[..., :1, :])
    logits = [model(stream.unsqueeze(-2), start_at_layer=last).squeeze(-2) for stream in (values, empty)]
    raised = (logits[0] - logits[1]).topk(min(RAISED, logits[0].shape[-1]), dim=-1)
    post = capture(model, asked, f"blocks.{layer}.mlp.hook_post", batch_size=len(asked))
    active = asked.at_answer(post.tensor(f"blocks.{layer}.mlp.hook_post").to(values)).abs()
    true = asked.targets.view(-1, 1, 1)
    hits = ((raised.indices.unsqueeze(-3) == true) & (raised.values.unsqueeze(-3) > 0)).any(-1)
    share: Tensor = active / active.sum(-1, keepdim=True).clamp(min=1e-12)
    found: Tensor = share * hits
    return found
