"""The named data sets: what they hold, how they are split, and what happens when files are not there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.idx import read_idx
from models.data.loading import LOADERS, load_data
from models.data.mnist import load_mnist
from models.refusals import BadFile, Refused


@pytest.fixture
def only_mnist(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a copy of MNIST's files and nothing else, offline."""
    shutil.copytree(data_dir / "mnist", tmp_path / "data" / "mnist", copy_function=shutil.copyfile)
    monkeypatch.setenv("INTERP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("INTERP_OFFLINE", "1")
    return tmp_path / "data"


def test_a_mistyped_name_is_told_the_nearest() -> None:
    with pytest.raises(Refused, match=r"no data set 'mnits'\. Nearest: mnist"):
        load_data("mnits")


def test_every_name_in_the_catalogue_can_be_loaded_and_no_other() -> None:
    assert list(LOADERS) == list(CATALOGUE)


def test_the_catalogue_costs_no_torch() -> None:
    heavy = "{'torch', 'sklearn', 'numpy', 'pandas', 'transformer_lens', 'matplotlib'}"
    code = f"import sys; import models.data.catalogue; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_bundled_digits_are_scikit_learns_in_file_order() -> None:
    data, bundle = load_data("digits"), load_digits()
    assert (data.inputs.numpy() * 16 == bundle.data).all()
    assert (data.targets.numpy() == bundle.target).all()
    assert data.examples["number"].tolist() == list(range(1_797))
    assert (data.inputs.min(), data.inputs.max()) == (0, 1)


@pytest.mark.parametrize("part", ["network", "probe", "test"])
def test_the_bundled_digits_are_split_into_balanced_blocks(part: str) -> None:
    entry = CATALOGUE["digits"]
    block = getattr(load_data("digits"), part)
    counts = block.examples["digit"].value_counts()
    assert len(block) == entry.splits[["network", "probe", "test"].index(part)]
    assert (block.examples["number"].diff().dropna() == 1).all()
    assert counts.min() > 0.92 * len(block) / 10
    assert counts.max() < 1.09 * len(block) / 10


def test_the_catalogue_tells_the_truth_about_the_bundled_digits() -> None:
    data, entry = load_data("digits"), CATALOGUE["digits"]
    assert (data.inputs.shape[1], data.image_shape, data.classes) == (entry.features, entry.image_shape, 10)
    assert tuple(data.split_counts().values()) == entry.splits


def test_the_bundled_digits_have_the_same_digest_everywhere() -> None:
    assert load_data("digits").digest == "0364cad43729486e163c11fc61150e9a50edcbdadbd172d00070d9637e6b5628"


@pytest.mark.real_data
def test_mnist_is_what_was_published(mnist: Dataset, data_dir: Path) -> None:
    entry = CATALOGUE["mnist"]
    assert tuple(mnist.split_counts().values()) == entry.splits
    assert (mnist.inputs.shape[1], mnist.image_shape, mnist.classes) == (entry.features, (28, 28), 10)
    assert (mnist.inputs.min(), mnist.inputs.max()) == (0, 1)
    test_images = read_idx(data_dir / "mnist" / "t10k-images-idx3-ubyte.gz")
    assert torch.equal((mnist.test.images * 255).round().to(torch.uint8), torch.from_numpy(test_images))
    assert mnist.test.examples["number"].tolist() == list(range(60_000, 70_000))


@pytest.mark.real_data
def test_each_image_keeps_its_label_and_its_writer(mnist: Dataset, data_dir: Path) -> None:
    images = read_idx(data_dir / "mnist" / "train-images-idx3-ubyte.gz")
    known = read_idx(data_dir / "qmnist" / "qmnist-train-labels-idx2-int.gz")
    for row in (0, 1, 31_415, 49_999, 50_000, 59_999):
        example = mnist.examples.iloc[row]
        assert np.array_equal(mnist.images[row].mul(255).round().numpy(), images[example["number"]])
        columns = [example[name] for name in ("digit", "nist_series", "writer")]
        assert columns == known[example["number"], :3].tolist()
        assert mnist.targets[row] == example["digit"]


@pytest.mark.real_data
def test_no_writer_of_mnist_is_in_two_splits(mnist: Dataset) -> None:
    writers = mnist.examples.groupby("writer")["split"].nunique()
    assert len(writers) == 539 + 297
    assert (writers == 1).all()
    assert sorted(mnist.examples["number"]) == list(range(70_000))


@pytest.mark.real_data
def test_the_published_test_digits_are_by_other_writers_than_the_training_digits(mnist: Dataset) -> None:
    by_number = mnist.examples.set_index("number").sort_index()["writer"]
    assert set(by_number.loc[:59_999]).isdisjoint(by_number.loc[60_000:])
    assert len(set(by_number.loc[50_000:59_999])) == 305
    assert len(set(by_number.loc[50_000:59_999]) & set(by_number.loc[:49_999])) == 251


@pytest.mark.real_data
def test_the_probe_split_is_like_the_network_split(mnist: Dataset) -> None:
    for column in ("digit", "nist_series"):
        shares = [part.examples[column].value_counts(normalize=True) for part in (mnist.network, mnist.probe)]
        assert (shares[0] - shares[1]).abs().max() < 0.02


@pytest.mark.real_data
def test_nist_classes_say_no_more_than_digits(mnist: Dataset) -> None:
    assert (mnist.examples["nist_class"] == 30 + mnist.examples["digit"]).all()
    assert set(mnist.examples["nist_series"]) == {0, 4}


@pytest.mark.real_data
def test_mnist_has_the_same_digest_everywhere(mnist: Dataset) -> None:
    assert mnist.digest == "957a2dc741e41128b4d646b0c596b8f8f6b65c1fba3946b9e27210c8eec9a143"


@pytest.mark.real_data
def test_splits_of_mnist_share_its_memory(mnist: Dataset) -> None:
    assert mnist.test.inputs.untyped_storage().data_ptr() == mnist.inputs.untyped_storage().data_ptr()


@pytest.mark.real_data
def test_without_writers_mnist_is_cut_as_nielsen_cut_it(only_mnist: Path) -> None:
    start = time.perf_counter()
    data = load_mnist()
    seconds = time.perf_counter() - start
    assert data.examples["number"].tolist() == list(range(70_000))
    assert list(data.examples.columns) == ["number", "digit", "split"]
    assert "Writers unknown" in data.source
    assert seconds < 6  # about 1 s on a free core


@pytest.mark.real_data
def test_a_damaged_writer_file_is_an_error_and_not_an_absence(only_mnist: Path, data_dir: Path) -> None:
    shutil.copytree(data_dir / "qmnist", only_mnist / "qmnist", copy_function=shutil.copyfile)
    damaged = only_mnist / "qmnist" / "qmnist-test-labels-idx2-int.gz"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(BadFile, match=r"qmnist-test-labels-idx2-int\.gz is truncated or altered"):
        load_mnist()


@pytest.mark.real_data
@pytest.mark.parametrize("harm", ["missing", "truncated", "altered", "foreign"])
def test_a_harmed_mnist_file_is_named_with_where_it_may_come_from(only_mnist: Path, harm: str) -> None:
    path = only_mnist / "mnist" / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(path.read_bytes())
    path.unlink()
    if harm == "truncated":
        path.write_bytes(content[:1000])
    if harm == "altered":
        content[2000] ^= 1
        path.write_bytes(content)
    if harm == "foreign":
        path.write_bytes(b"<html>moved</html>")
    with pytest.raises(
        BadFile, match=r"t10k-labels-idx1-ubyte\.gz .*It may come from https://ossci-datasets"
    ):
        load_mnist()
