"""Transformers whose weights are set by hand, with their true circuits: ground truth for methods that look for one.

The residual stream is parted into subspaces (token, position, what was moved, output), one dimension for each token or
position, so every head and MLP does one step that can be read off its weights, without normalisation. Attention is made
hard by large scores (`sharpness` is the least difference between the score meant and any other). Beside the circuit
stand distractors: heads and neurons with random weights that read everything and write to a subspace that nobody but
distractors reads. They are active, and no edge to or from them matters: any may be cut without any effect, until
`Distractors(leak=...)` lets them write to the output, too, as a trained network's noise does.

`edges` are the ways (sender, receiver) that the answer takes.
Sources: induction heads after Elhage et al. 2021, https://transformer-circuits.pub/2021/framework/, and Olsson et al.
2022, https://arxiv.org/abs/2209.11895; an MLP as a memory of keys and values after Geva et al. 2021,
https://arxiv.org/abs/2012.14913; networks with known circuits as tests: Lindner et al. 2023 (Tracr),
https://arxiv.org/abs/2301.05062.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from models.networks.blocks import FeedForward
from models.networks.handmade_stream import DISTRACTORS, Distractors, Stream, attention_of, mlp_of
from models.networks.hooked import HookedModel
from models.refusals import Refused

Edge = tuple[str, str]
AT_REST = Distractors()


@dataclass(frozen=True, eq=False)
class Handmade:
    """A network, what it does (`claim`), and its true circuit: edges of a transformer, nodes of any network."""

    model: HookedModel
    claim: str
    edges: tuple[Edge, ...]
    nodes: tuple[str, ...]


def induction_network(
    *, vocabulary: int = 8, context: int = 12, sharpness: float = 20.0, distractors: Distractors = AT_REST
) -> Handmade:
    """Two layers of attention that say what followed the current token before.

    Sequences begin with token 0, which does not occur again. The logit of t is 4 times the share of the current token's
    earlier occurrences that t followed; where there are none, token 0 has the 4. Head 0 of layer 0 moves each token to
    the position behind it; head 0 of layer 1 looks for the current token there.
    """
    stream = Stream(token=vocabulary, position=context, before=vocabulary, output=vocabulary)
    model = stream.network(layers=2, d_mlp=0, sharpness=sharpness, distractors=distractors)
    token, position, before = (stream.into(name) for name in ("token", "position", "before"))
    behind = _shifted(context, 1)
    first, second = attention_of(model, 0), attention_of(model, 1)
    stream.set_head(first, q=position, k=position @ _sized(behind, position), v=token, out=before)
    sink = torch.zeros_like(before)
    # token 0 fits every query, but half as well as an earlier occurrence does
    sink[stream.parts["token"].start] = 0.5
    sink[:, vocabulary:] = 0
    stream.set_head(second, q=token, k=before + sink, v=token, out=stream.into("output"))
    moved, looked = "blocks.0.attn[0]", "blocks.1.attn[0]"
    edges = (
        ("pos_embed", f"{moved}.q"),
        ("pos_embed", f"{moved}.k"),
        ("embed", f"{moved}.v"),
        ("embed", f"{looked}.q"),
        ("embed", f"{looked}.k"),  # the token to look at where nothing fits
        (moved, f"{looked}.k"),
        ("embed", f"{looked}.v"),
        (looked, "logits"),
    )
    return Handmade(model, "says what followed the current token before", edges, _senders(edges))


def copy_network(
    *,
    vocabulary: int = 8,
    context: int = 10,
    distance: int = 3,
    sharpness: float = 20.0,
    distractors: Distractors = AT_REST,
) -> Handmade:
    """One layer whose head 0 says the token `distance` positions back, or the first where there is none.

    That token's logit is 4, any other's 0.
    """
    if not 0 < distance < context:
        raise Refused(f"distance lies between 0 and the context, {context}; given {distance}.")
    stream = Stream(token=vocabulary, position=context, output=vocabulary)
    model = stream.network(layers=1, d_mlp=DISTRACTORS, sharpness=sharpness, distractors=distractors)
    position = stream.into("position")
    back = _shifted(context, distance)
    back[0] += 0.5  # the first position fits every query, but half as well
    head = attention_of(model, 0)
    stream.set_head(
        head,
        q=position,
        k=position @ _sized(back, position),
        v=stream.into("token"),
        out=stream.into("output"),
    )
    edges = (
        ("pos_embed", "blocks.0.attn[0].q"),
        ("pos_embed", "blocks.0.attn[0].k"),
        ("embed", "blocks.0.attn[0].v"),
        ("blocks.0.attn[0]", "logits"),
    )
    return Handmade(model, f"says the token {distance} positions back", edges, _senders(edges))


def lookup_network(
    objects: Int64[Tensor, "subject relation"],
    *,
    sharpness: float = 20.0,
    distractors: Distractors = AT_REST,
) -> Handmade:
    """A memory of facts in an MLP: reads [subject, relation] and gives `objects[subject, relation]` the logit 4.

    Tokens are numbered subjects first, then relations, then objects (`objects` counts from 0). Head 0 moves the subject
    to the relation; one neuron for each pair fires where both are there. At the first position all logits are 0.
    """
    subjects, relations = objects.shape
    keys, values = subjects + relations, int(objects.max()) + 1
    stream = Stream(token=keys + values, position=2, subject=keys + values, output=keys + values)
    neurons = subjects * relations + DISTRACTORS
    model = stream.network(layers=1, d_mlp=neurons, sharpness=sharpness, distractors=distractors)
    position, subject = stream.into("position"), stream.into("subject")
    stream.set_head(
        attention_of(model, 0),
        q=position,
        k=position @ _sized(_shifted(2, 1), position),
        v=stream.into("token"),
        out=subject,
    )
    _remember(mlp_of(model, 0), objects, stream)
    edges = (
        ("pos_embed", "blocks.0.attn[0].q"),
        ("pos_embed", "blocks.0.attn[0].k"),
        ("embed", "blocks.0.attn[0].v"),
        ("blocks.0.attn[0]", "blocks.0.mlp"),
        ("embed", "blocks.0.mlp"),
        ("blocks.0.mlp", "logits"),
    )
    return Handmade(model, "says the object of a subject and a relation", edges, _senders(edges))


@torch.no_grad()
def _remember(mlp: FeedForward, objects: Tensor, stream: Stream) -> None:
    """A neuron for every subject and relation, which fires where both are there and writes the object."""
    subjects, relations = objects.shape
    assert mlp.b_in is not None  # it is not gated
    here, moved, output = (stream.parts[name].start for name in ("token", "subject", "output"))
    for neuron, (subject, relation) in enumerate((s, r) for s in range(subjects) for r in range(relations)):
        mlp.W_in[moved + subject, neuron] = mlp.W_in[here + subjects + relation, neuron] = 1
        mlp.b_in[neuron] = -1
        mlp.W_out[neuron, output + subjects + relations + int(objects[subject, relation])] = 1


def _shifted(size: int, distance: int) -> Tensor:
    """The map that sends what stands at i to i + distance, `[size, size]`."""
    return torch.diag(torch.ones(size - distance), distance)


def _sized(square: Tensor, like: Tensor) -> Tensor:
    """A map on the first dimensions of a head as a map on all of them."""
    whole = torch.zeros(like.shape[-1], like.shape[-1])
    whole[: len(square), : len(square)] = square
    return whole


def _senders(edges: tuple[Edge, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sender for sender, _ in edges))
