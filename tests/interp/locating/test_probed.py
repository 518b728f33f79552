"""What probes read along a sequence."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from interp.locating.probed import as_features, vectors_at
from interp.reading.activations import Activations
from interp.refusals import Refused

EXAMPLES = pd.DataFrame({"last": [0, 2, 1], "word": ["a", "b", "c"]})


def captured(*, seeds: tuple[int, ...] | None = None) -> Activations:
    """Activations whose entries tell where they stand: 100 seed + 10 example + pos, twice."""
    each = 10.0 * torch.arange(3)[:, None] + torch.arange(4)
    values = each if seeds is None else 100.0 * torch.arange(len(seeds))[:, None, None] + each
    lead = () if seeds is None else ("seed",)
    stream = values[..., None].expand(*values.shape, 2).contiguous()
    pattern = values[..., None, None].expand(*values.shape, 2, 2).contiguous()
    return Activations(
        {"stream": stream, "heads": pattern, "vector": stream[..., 0, :].contiguous()},
        axes={
            "stream": (*lead, "example", "pos", "d_model"),
            "heads": (*lead, "example", "pos", "head", "d_head"),
            "vector": (*lead, "example", "neuron"),
        },
        examples=EXAMPLES,
        seeds=seeds,
    )


def test_each_example_is_read_at_its_own_position() -> None:
    assert vectors_at(captured(), "stream", "last")[:, 0].tolist() == [0, 12, 21]
    population = vectors_at(captured(seeds=(4, 7)), "stream", "last")
    assert population[..., 1].tolist() == [[0, 12, 21], [100, 112, 121]]


def test_a_number_is_the_same_position_for_all() -> None:
    assert vectors_at(captured(), "stream", 3)[:, 0].tolist() == [3, 13, 23]


def test_hooks_without_positions_are_read_as_they_are() -> None:
    acts = captured(seeds=(4, 7))
    assert torch.equal(vectors_at(acts, "vector", "last"), acts.tensor("vector"))


def test_maps_of_a_convolution_are_read_whole() -> None:
    maps = torch.arange(2 * 3 * 2 * 2 * 4.0).view(2, 3, 2, 2, 4)
    axes = ("seed", "example", "channel", "row", "column")
    acts = Activations({"maps": maps}, axes={"maps": axes}, examples=EXAMPLES, seeds=(4, 7))
    assert torch.equal(vectors_at(acts, "maps", "last"), maps.reshape(2, 3, 16))


WRONG = {
    "a column that is not there": ("stream", "lats", "Nearest: last"),
    "a column of words": ("stream", "word", "no positions"),
    "a position too far": ("stream", 4, "Positions go from 0 to 3; asked for 4"),
    "a position below 0": ("stream", -1, "Positions go from 0 to 3; asked for -1"),
    "a hook with heads": ("heads", "last", "axes are example and one more"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_explained(case: str) -> None:
    hook, at, explained = WRONG[case]
    with pytest.raises(Refused, match=explained):
        vectors_at(captured(), hook, at)  # type: ignore[arg-type]


def test_tokens_become_which_stands_where() -> None:
    fit, test = as_features(torch.tensor([[5, 9], [7, 9]]), torch.tensor([[7, 8]]))
    assert fit.tolist() == [[1, 0, 1], [0, 1, 1]]
    assert test.tolist() == [[0, 1, 0]]


def test_vectors_stay_as_they_are() -> None:
    images = torch.rand(2, 3, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(as_features(images, images)[0], images.flatten(1))
