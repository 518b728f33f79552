from __future__ import annotations

import zlib

import pytest
import torch
from torch import Tensor

from interp.locating.decoding import decode
from interp.locating.removal import moved_alike, remove_directions
from interp.measuring.controls import random_directions
from interp.measuring.statistics import disjoint_shares
from interp.refusals import Refused
from models.data.dataset import Dataset
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.seeds import generator

SEEDS = tuple(range(6))
HOOK = "layers.0.hook_post"


@pytest.fixture
def data() -> Dataset:
    """Two labels, each of three classes: one in features 0 to 2, the other in features 3 to 5; 14 more are noise."""
    randomness = generator(0, "two labels")
    first, second = (torch.randint(3, (3000,), generator=randomness) for _ in range(2))
    inputs = torch.randn(3000, 20, generator=randomness)
    for label, start in ((first, 0), (second, 3)):
        inputs[:, start : start + 3] += 5 * torch.nn.functional.one_hot(label, 3)
    split = ["network"] * 500 + ["probe"] * 2000 + ["test"] * 500
    data = Dataset.from_arrays(inputs, first, split=split)
    data.examples["second"] = second.numpy()
    return data


@pytest.fixture
def model() -> MLP:
    """The hidden layer passes everything on; the output reads features 0 to 2 and nothing else."""
    model = MLP(MLPConfig((20, 20, 3), activation="identity"), seeds=SEEDS)
    with torch.no_grad():
        model.layers[0].W.copy_(torch.eye(20))
        model.unembed.W.zero_()
        model.unembed.W[:, :3] = torch.eye(3)
    return model


def accuracy(data: Dataset) -> object:
    def of(output: Tensor) -> Tensor:
        return (output.argmax(-1) == data.test.targets).double()

    return of


def lost(model: MLP, data: Dataset, label: str) -> dict[str, float]:
    directions = decode(model, data, HOOK, label=label, untrained=model, probe="ridge").directions
    left = remove_directions(model, data, directions, accuracy(data)).mean("seed").sel(hook=HOOK)
    return {
        name: float(left.sel(removed="nothing") - left.sel(removed=name))
        for name in left["removed"].to_numpy()
    }


def test_removing_what_the_network_uses_costs_it_everything_and_random_removals_little(
    model: MLP, data: Dataset
) -> None:
    cost = lost(model, data, "label")
    assert cost["decoded_directions"] > 0.5
    assert cost["random_directions"] < 0.15
    assert cost["random_same_variance"] < cost["decoded_directions"] - 0.1
    assert cost["nothing"] == 0.0


def test_what_can_be_decoded_but_is_not_used_costs_nothing(model: MLP, data: Dataset) -> None:
    decoding = decode(model, data, HOOK, label="second", untrained=model, probe="ridge")
    assert min(decoding.of(HOOK)) > 0.9
    assert abs(lost(model, data, "second")["decoded_directions"]) < 0.02


def test_the_second_control_moves_each_example_as_far_as_the_removal() -> None:
    randomness = generator(0, "x")
    x = torch.randn(2, 30, 7, generator=randomness)
    basis = random_directions(3, 7, seed=[0, 1]).float()
    other = random_directions(3, 7, seed=[2, 3]).float()
    centre = x.mean(1, keepdim=True)
    component = (x - centre) @ basis.mT @ basis
    moved = x - moved_alike(x, basis, other, about=centre)
    torch.testing.assert_close(moved.norm(dim=-1), component.norm(dim=-1))
    assert float((moved - moved @ other.mT @ other).abs().max()) < 1e-5


def test_the_same_call_gives_the_same_numbers(model: MLP, data: Dataset) -> None:
    directions = {HOOK: random_directions(2, 20, seed=list(SEEDS)).float()}
    first, again = (remove_directions(model, data, directions, accuracy(data)) for _ in range(2))
    assert first.equals(again)


def test_wrong_calls_are_refused(model: MLP, data: Dataset) -> None:
    directions = {HOOK: random_directions(2, 20, seed=list(SEEDS)).float()}
    with pytest.raises(Refused, match="at least one draw"):
        remove_directions(model, data, directions, accuracy(data), draws=0)
    with pytest.raises(Refused, match="give a population"):
        remove_directions(model.member(0), data, directions, accuracy(data))


def test_any_directions_along_which_much_varies_are_no_longer_called_used() -> None:
    """Half the features vary ten times as much as the others, and all are used alike: variance explains everything."""
    randomness = generator(0, "loud")
    inputs = torch.randn(1200, 16, generator=randomness) * torch.tensor([10.0] * 8 + [1.0] * 8)
    classes = torch.randn(16, 4, generator=randomness)
    data = Dataset.from_arrays(
        inputs, (inputs @ classes).argmax(-1), split=["network"] * 200 + ["probe"] * 500 + ["test"] * 500
    )
    model = MLP(MLPConfig((16, 16, 4), activation="identity"), seeds=SEEDS)
    with torch.no_grad():
        model.layers[0].W.copy_(torch.eye(16))
        model.unembed.W.copy_(classes)
    loud = torch.eye(16)[:3].expand(len(SEEDS), -1, -1).contiguous()
    left = remove_directions(model, data, {HOOK: loud}, accuracy(data), draws=8).mean("seed").sel(hook=HOOK)
    lost_without = {name: float(1 - left.sel(removed=name)) for name in left["removed"].to_numpy()}
    assert lost_without["decoded_directions"] > lost_without["random_directions"] + 0.05
    assert abs(lost_without["decoded_directions"] - lost_without["random_same_variance"]) < 0.15
    assert lost_without["random_same_variance"] > lost_without["random_directions"] + 0.05


def test_every_figure_is_what_plain_arithmetic_on_the_activations_gives(model: MLP, data: Dataset) -> None:
    with torch.no_grad():
        model.layers[0].b.fill_(3.0)
    one = torch.eye(20)[:1] + 0.1 * torch.eye(20)[1:2]
    one = one / one.norm()
    basis = torch.cat([one, torch.zeros(1, 20)]).expand(6, 2, 20)
    left = remove_directions(model, data, {HOOK: basis}, accuracy(data), draws=2).sel(hook=HOOK)

    x, centre = data.test.inputs + 3.0, data.probe.inputs.mean(0) + 3.0
    right, targets = disjoint_shares(6, len(x)), data.test.targets
    for member in range(6):
        seeds = [zlib.crc32(f"{HOOK} {draw} {member}".encode()) for draw in range(2)]
        random = [random_directions(1, 20, seed=seed).float() for seed in seeds]
        along = (x - centre) @ one.T
        moved = {
            "nothing": [torch.zeros_like(x)],
            "decoded_directions": [along @ one],
            "random_directions": [(x - centre) @ other.T @ other for other in random],
            "random_same_norm": [along @ other for other in random],
        }
        for removed, moves in moved.items():
            correct = [((x - move)[:, :3].argmax(-1) == targets)[right[member]].double() for move in moves]
            expected = float(torch.stack(correct).mean())
            assert float(left.sel(removed=removed, seed=member)) == pytest.approx(expected), removed


def test_maps_of_a_convolution_have_no_one_axis_to_remove_from() -> None:
    from models.data.loading import load_data
    from models.networks.cnn import CNN
    from models.networks.cnn_config import CNNConfig, Convolution

    data, hook = load_data("digits"), "layers.0.hook_post"
    model = CNN(CNNConfig((8, 8), (Convolution(2, 7),)), seeds=[0, 1])
    directions = {hook: random_directions(1, 8, seed=[0, 1]).float()}
    with pytest.raises(
        Refused, match=r"one more; 'layers.0.hook_post' has \['seed', 'example', 'channel', 'row'"
    ):
        remove_directions(model, data, directions, lambda output: output.sum(-1))


def test_a_metric_that_averages_over_the_examples_itself_is_refused(model: MLP, data: Dataset) -> None:
    directions = {HOOK: random_directions(2, 20, seed=list(SEEDS)).float()}
    with pytest.raises(
        Refused, match=r"shape \[6\]; it gives a number for each seed and example, \[6, 500\]"
    ):
        remove_directions(model, data, directions, lambda output: output.mean((-1, -2)))


def test_a_network_in_float64_takes_the_data_as_they_are_and_keeps_its_mode(
    model: MLP, data: Dataset
) -> None:
    directions = {HOOK: random_directions(2, 20, seed=list(SEEDS))}
    single = remove_directions(model.train(), data, directions, accuracy(data))
    double = remove_directions(model.double(), data, directions, accuracy(data))
    assert model.training
    assert single.equals(double)
