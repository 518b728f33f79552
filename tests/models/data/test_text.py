"""Text by character: rows follow each other in the text, each target is the next character."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.data.catalogue import CATALOGUE
from models.data.loading import load_data
from models.data.text import lines, running_text
from models.data.validation import NOT_ASKED
from models.refusals import BadFile, Refused


def test_rows_are_the_text_and_targets_what_comes_next() -> None:
    text = "the cat sat on the mat. " * 20
    data = running_text("cats", text, length=7, source="for tests")
    assert data.tokenizer is not None
    rows = [data.tokenizer.decode(row) for row in data.inputs]
    assert "".join(rows) == text[: 7 * len(rows)]
    assert [data.tokenizer.decode(row) for row in data.targets][:2] == ["he cat ", "sat on "]
    assert data.examples["start"].tolist()[:3] == [0, 7, 14]
    assert list(dict.fromkeys(data.examples["split"])) == ["network", "probe", "test"]


def test_too_short_a_text_is_refused_with_its_rows() -> None:
    with pytest.raises(Refused, match="10 characters make 2 rows of 4; at least 20"):
        running_text("short", "0123456789", length=4, source="for tests")


def test_a_name_is_between_two_line_ends() -> None:
    data = lines("names", [f"n{number}" for number in range(9)] + ["longer"], source="for tests")
    assert data.tokenizer is not None
    row = data.examples.index[data.examples["text"] == "n3"][0]
    assert data.tokenizer.tokens(data.inputs[row]) == ["\n", "n", "3"] + ["<pad>"] * 4
    assert data.tokenizer.tokens(data.targets[row][:3]) == ["n", "3", "\n"]
    assert (data.targets[row][3:] == NOT_ASKED).all()
    assert data.mask is not None
    assert data.mask[row].sum() == 3


@pytest.mark.parametrize("texts", [["a", "a"], ["a", ""], ["a\nb"]])
def test_lines_that_cannot_be_told_apart_are_refused(texts: list[str]) -> None:
    with pytest.raises(Refused, match="there once"):
        lines("names", texts, source="for tests")


def test_no_place_is_in_two_splits() -> None:
    data = load_data("places")
    assert data.examples["text"].is_unique
    assert "paris" in set(data.examples["text"])


@pytest.mark.real_data
def test_real_names_are_those_of_the_file_each_once(data_dir: Path) -> None:
    data, entry = load_data("names"), CATALOGUE["names"]
    assert set(data.examples["text"]) == set((data_dir / "text/names.txt").read_text().split("\n"))
    assert data.examples["text"].is_unique
    assert tuple(data.split_counts().values()) == entry.splits
    assert (data.inputs.shape[1], data.classes) == (entry.positions, entry.classes)


def test_without_the_file_of_names_it_is_said_what_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INTERP_DATA_DIR", raising=False)
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("INTERP_OFFLINE", "1")
    with pytest.raises(BadFile, match=r"text/names.txt is not here.*Or take 'places'"):
        load_data("names")


def test_names_that_were_altered_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text/names.txt").write_text("emma\nolivia\n")
    monkeypatch.setenv("INTERP_DATA_DIR", str(tmp_path))
    with pytest.raises(BadFile, match="truncated or altered"):
        load_data("names")


@pytest.mark.real_data
def test_shakespeare_is_read_whole(data_dir: os.PathLike[str]) -> None:
    data = load_data("shakespeare")
    assert data.tokenizer is not None
    assert data.tokenizer.decode(data.inputs[0]).startswith("First Citizen:\nBefore we proceed")
    assert (len(data.tokenizer), data.inputs.shape) == (65, (17_428, 64))
    assert tuple(data.split_counts().values()) == (15_686, 871, 871)
