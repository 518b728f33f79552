"""Images moved about, images of nothing, letters and clothes: what moves, what stays, what is known of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from models.data.catalogue import CATALOGUE
from models.data.letters import as_mnist
from models.data.loading import load_data
from models.data.noise import NOISE, noise
from models.data.transformed import framed, pixels_shuffled, rotated, shifted, turn
from models.refusals import BadFile, Refused


@pytest.mark.parametrize("name", ["digits-shifted", "digits-rotated", "noise"])
def test_what_is_loaded_is_as_the_catalogue_tells(name: str) -> None:
    data, entry = load_data(name), CATALOGUE[name]
    assert tuple(data.split_counts().values()) == entry.splits
    assert (data.image_shape, data.classes, data.name) == (entry.image_shape, entry.classes, name)
    assert 0 <= data.inputs.min() <= data.inputs.max() <= 1


def test_a_shifted_image_is_the_image_at_another_place() -> None:
    plain, data = load_data("digits"), shifted(load_data("digits"), 3, seed=1)
    assert data.image_shape == (14, 14)
    moves = data.examples[["shift_down", "shift_right"]].to_numpy()
    for row in (0, 7, 1_000):
        down, right = moves[row] + 3
        assert torch.equal(data.images[row, down : down + 8, right : right + 8], plain.images[row])
        assert data.images[row].sum() == plain.images[row].sum()
    assert set(moves.flatten()) == set(range(-3, 4))
    assert torch.equal(data.targets, plain.targets)
    assert data.examples["number"].equals(plain.examples["number"])


def test_a_framed_image_is_the_image_in_the_middle() -> None:
    plain, data = load_data("digits"), framed(load_data("digits"), 3)
    assert data.image_shape == (14, 14)
    assert torch.equal(data.images[:, 3:11, 3:11], plain.images)
    assert torch.equal(data.images.sum(dim=(1, 2)), plain.images.sum(dim=(1, 2)))
    moved = shifted(plain, 3, seed=1)
    unmoved = (moved.examples[["shift_down", "shift_right"]] == 0).all(axis=1).to_numpy().nonzero()[0]
    assert len(unmoved) > 10
    assert torch.equal(moved.inputs[unmoved.tolist()], data.inputs[unmoved.tolist()])


def test_shuffled_pixels_are_shuffled_alike_in_every_image_and_data_set() -> None:
    plain, data = load_data("digits"), pixels_shuffled(load_data("digits"), seed=4)
    assert data.image_shape == (8, 8)
    order = [
        int((data.inputs == column[:, None]).all(dim=0).nonzero()[0]) for column in plain.inputs.T[18:22]
    ]
    assert order != [18, 19, 20, 21]
    assert torch.equal(data.inputs[:, order], plain.inputs[:, 18:22])
    assert torch.equal(data.inputs.sort(dim=1)[0], plain.inputs.sort(dim=1)[0])
    turned = pixels_shuffled(rotated(plain), seed=4)
    assert torch.equal(turned.inputs[:, order], rotated(plain).inputs[:, 18:22])
    assert not torch.equal(pixels_shuffled(plain, seed=5).inputs, data.inputs)


def test_turning_by_a_right_angle_is_exact_and_against_the_clock() -> None:
    images = load_data("digits").images[:5]
    turned = turn(images, torch.full((5,), 90.0))
    torch.testing.assert_close(turned, torch.rot90(images, 1, dims=(1, 2)), rtol=0, atol=1e-5)


def test_turning_agrees_with_scipy() -> None:
    smooth = torch.from_numpy(ndimage.gaussian_filter(np.eye(31)[None].repeat(2, 0), (0, 4, 4))).float()
    turned = turn(smooth, torch.tensor([20.0, -50.0]))
    for ours, plain, angle in zip(turned, smooth, (20, -50), strict=True):
        theirs = ndimage.rotate(plain.numpy(), angle, reshape=False, order=1)
        np.testing.assert_allclose(ours[6:-6, 6:-6], theirs[6:-6, 6:-6], atol=1e-3)


def test_angles_go_up_to_the_most_and_are_known() -> None:
    data = rotated(load_data("digits"), 30, seed=2)
    assert 28 < data.examples["degrees"].abs().max() <= 30
    expected = turn(load_data("digits").images[:1], torch.tensor([data.examples["degrees"][0]]))
    assert torch.equal(data.images[:1], expected)


def test_noise_is_of_four_families_and_each_is_what_it_says() -> None:
    like = load_data("digits")
    data = noise(like, splits=(400, 80, 120), seed=3)
    family = data.examples["family"].to_numpy()
    assert tuple(data.split_counts().values()) == (400, 80, 120)
    parts = {name: data.inputs[family == name] for name in NOISE}
    assert all(len(part) == 150 for part in parts.values())
    assert (parts["blank"].std(dim=1) == 0).all()
    assert abs(parts["uniform"].mean() - 0.5) < 0.01
    assert abs(parts["uniform"].var() - 1 / 12) < 0.005
    assert abs((parts["gaussian"] == 0).float().mean() - 0.1587) < 0.02
    real = {tuple(sorted(row.tolist())) for row in like.inputs}
    assert all(tuple(sorted(row.tolist())) in real for row in parts["shuffled"])


def test_shuffled_images_of_a_split_come_from_that_split() -> None:
    like = load_data("digits")
    test = noise(like, splits=(4, 4, 1_600)).test
    own = {tuple(sorted(row.tolist())) for row in like.test.inputs}
    shuffled = test.inputs[test.targets == list(NOISE).index("shuffled")]
    assert all(tuple(sorted(row.tolist())) in own for row in shuffled)


def test_what_cannot_be_made_is_refused() -> None:
    digits = load_data("digits")
    with pytest.raises(Refused, match="as many of each of 4 families"):
        noise(digits, splits=(4, 4, 5))
    with pytest.raises(Refused, match="above 0 and up to 180"):
        rotated(digits, 0)
    with pytest.raises(Refused, match="most is a whole number from 1"):
        shifted(digits, 0)
    with pytest.raises(Refused, match="width is a whole number from 1"):
        framed(digits, 0)
    with pytest.raises(Refused, match="are no images"):
        shifted(load_data("adding"))


def test_a_drawing_becomes_an_image_like_mnists() -> None:
    ink = np.zeros((105, 105))
    ink[10:90, 40:44] = 1  # an upright stroke, 80 long
    image = as_mnist(ink)
    assert image.shape == (28, 28)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert len(rows) == 20
    assert len(columns) == 2
    assert np.average(np.arange(28), weights=image.sum(axis=1)) == pytest.approx(13.5, abs=0.5)
    assert image.max() > 0.9


@pytest.mark.real_data
def test_letters_are_split_by_the_people_who_drew_them(data_dir: Path) -> None:
    data = load_data("letters")
    people = data.examples.groupby("split")["drawer"].unique()
    assert sorted(map(len, people)) == [5, 5, 10]
    assert len(set().union(*people)) == 20
    assert (data.examples.groupby("letter").size() == 20).all()
    assert (data.examples["letter"].map(ord).to_numpy() - ord("a") == data.targets.numpy()).all()
    mnist_like = data.images.sum(dim=(1, 2)) / 784  # MNIST's mean is 0.13
    assert 0.08 < mnist_like.mean() < 0.18


@pytest.mark.real_data
def test_clothes_are_as_published(data_dir: Path) -> None:
    data = load_data("clothes")
    assert data.examples["garment"].tolist()[:3] == ["ankle boot", "pullover", "trousers"]
    assert torch.bincount(data.targets).tolist() == [1_000] * 10
    assert tuple(data.split_counts().values()) == CATALOGUE["clothes"].splits


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["letters", "clothes", "shakespeare"])
def test_a_file_that_is_missing_is_named_with_its_home(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("INTERP_OFFLINE", "1")
    with pytest.raises(
        BadFile, match=r"is not here, and INTERP_OFFLINE forbids the download\. It may come from http"
    ):
        load_data(name)
