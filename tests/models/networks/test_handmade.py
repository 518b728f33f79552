"""Networks made by hand do exactly what they claim, and their circuits are all that matters."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from models.networks.handmade import Handmade, copy_network, induction_network, lookup_network
from models.networks.handmade_loops import loop_detector
from models.networks.handmade_stream import GAIN, Distractors
from models.refusals import Refused


def random_tokens(rows: int, length: int, vocabulary: int) -> Tensor:
    return torch.randint(vocabulary, (rows, length), generator=torch.Generator().manual_seed(1))


def answers(made: Handmade, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        return made.model(tokens)


def followers(sequence: list[int], vocabulary: int) -> list[list[float]]:
    """For every position, 4 times the share of each token among what followed the current token before."""
    rows = []
    for place, current in enumerate(sequence):
        after = [sequence[i + 1] for i in range(place) if sequence[i] == current] or [0]
        rows.append([GAIN * after.count(token) / len(after) for token in range(vocabulary)])
    return rows


def test_induction_says_what_followed_before() -> None:
    tokens = random_tokens(300, 12, 7) + 1
    tokens[:, 0] = 0
    expected = torch.tensor([followers(row, 8) for row in tokens.tolist()])
    torch.testing.assert_close(answers(induction_network(), tokens), expected, atol=1e-5, rtol=0)
    assert (expected.max(-1).values < GAIN).any()


def test_induction_on_every_short_sequence() -> None:
    tokens = torch.tensor([(0, *rest) for rest in product(range(1, 4), repeat=5)])
    expected = torch.tensor([followers(row, 4) for row in tokens.tolist()])
    made = induction_network(vocabulary=4, context=6)
    torch.testing.assert_close(answers(made, tokens), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("distance", [1, 3, 9])
def test_copy_says_the_token_some_positions_back(distance: int) -> None:
    tokens = random_tokens(300, 10, 8)
    back = torch.cat([tokens[:, :1].expand(-1, distance), tokens[:, :-distance]], dim=1)
    expected = GAIN * torch.nn.functional.one_hot(back, 8).float()
    torch.testing.assert_close(answers(copy_network(distance=distance), tokens), expected, atol=1e-5, rtol=0)


def test_lookup_knows_every_fact_and_nothing_else() -> None:
    objects = random_tokens(6, 3, 5)
    objects[0, 0] = 4
    made = lookup_network(objects)
    tokens = torch.tensor([(s, 6 + r) for s, r in product(range(6), range(3))])
    expected = torch.zeros(18, 2, 14)
    expected[torch.arange(18), 1, 9 + objects.flatten()] = GAIN
    torch.testing.assert_close(answers(made, tokens), expected, atol=1e-5, rtol=0)


def figures_of_one_piece(rows: int, columns: int) -> np.ndarray:
    """Every image whose black pixels hang together along their sides, `[image, row, column]`."""
    bits = np.arange(1, 2 ** (rows * columns))[:, None] >> np.arange(rows * columns) & 1
    images = bits.reshape(-1, rows, columns)
    within = np.zeros((3, 3, 3), int)
    within[1] = ndimage.generate_binary_structure(2, 1)
    labels, _ = ndimage.label(images, structure=within)
    flat = labels.reshape(len(images), -1)
    lowest = np.where(flat > 0, flat, flat.max()).min(-1)
    return images[lowest == flat.max(-1)]


def holes(images: np.ndarray) -> np.ndarray:
    """White pieces, joined along sides and corners, that the border does not belong to."""
    white = np.pad(1 - images, ((0, 0), (1, 1), (1, 1)), constant_values=1)
    within = np.zeros((3, 3, 3), int)
    within[1] = 1
    labels, _ = ndimage.label(white, structure=within)
    return np.array([len(np.unique(one[one > 0])) - 1 for one in labels])


def test_the_loop_detector_is_right_on_every_figure_of_one_piece() -> None:
    images = figures_of_one_piece(4, 4)
    count = torch.from_numpy(holes(images)).float()
    with torch.no_grad():
        logits = loop_detector().model(torch.from_numpy(images.reshape(len(images), -1)).float())
    assert len(images) == 11_506  # connected figures on a 4 x 4 board: OEIS A059525
    assert {0, 1} == set(count.int().tolist())
    assert torch.equal(logits, torch.stack([0.5 - count, count - 0.5], dim=-1))


def test_the_loop_detector_counts_holes_on_larger_boards() -> None:
    eight = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]]).flatten().float()
    made = loop_detector(rows=3, columns=5)
    assert made.model(eight[None]).tolist() == [[-1.5, 1.5]]


@pytest.mark.parametrize(
    "make", [induction_network, copy_network, lambda **k: lookup_network(random_tokens(3, 2, 4), **k)]
)
def test_distractors_are_active_and_change_nothing(make: object) -> None:
    one, other = (make(distractors=Distractors(seed)) for seed in (0, 1))  # type: ignore[operator]
    tokens = random_tokens(20, one.model.config.context, one.model.config.vocabulary)
    torch.testing.assert_close(answers(one, tokens), answers(other, tokens), atol=1e-5, rtol=0)
    weights = [made.model.blocks[0].attn.W_O for made in (one, other)]
    assert not torch.equal(*weights)
    width = one.model.config.d_head
    assert bool(one.model.blocks[0].attn.W_O[width:].any())


def test_distractors_that_leak_disturb_the_answer_a_little() -> None:
    tokens = random_tokens(300, 10, 8)
    plain, leaking = (copy_network(distractors=Distractors(leak=leak)) for leak in (0.0, 0.01))
    off = (answers(plain, tokens) - answers(leaking, tokens)).abs().max()
    assert 0.05 < off < 2
    assert torch.equal(answers(plain, tokens).argmax(-1), answers(leaking, tokens).argmax(-1))


def test_every_sender_of_a_true_edge_is_a_node() -> None:
    made = induction_network()
    assert made.nodes == ("pos_embed", "embed", "blocks.0.attn[0]", "blocks.1.attn[0]")
    assert len(set(made.edges)) == 8


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(Refused, match="distance lies between"):
        copy_network(distance=10)
    with pytest.raises(Refused, match="3 rows"):
        loop_detector(rows=2)
