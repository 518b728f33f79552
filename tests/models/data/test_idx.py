"""IDX files: what is written is read back, and every file that is not one is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.data.idx import decode_idx, encode_idx, read_idx, write_idx
from models.refusals import BadFile, Refused

KNOWN_TYPES = st.sampled_from([np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64])
ARRAYS = KNOWN_TYPES.flatmap(
    lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
)


@given(ARRAYS)
def test_what_is_encoded_is_decoded_again(array: np.ndarray) -> None:
    again = decode_idx(encode_idx(array), origin="memory")
    assert again.dtype == array.dtype
    assert again.shape == array.shape
    assert again.tobytes() == array.tobytes()


@given(ARRAYS, st.data())
def test_any_cut_and_any_extra_byte_is_refused(array: np.ndarray, data: st.DataObject) -> None:
    content = encode_idx(array)
    cut = data.draw(st.integers(0, len(content) - 1))
    for wrong in (content[:cut], content + b"\0"):
        with pytest.raises(BadFile, match="memory is"):
            decode_idx(wrong, origin="memory")


def test_the_bytes_are_those_of_the_published_format() -> None:
    # two zero bytes, 0c = 32-bit integers, 2 axes, lengths 1 and 2, then 1 and -2, all big-endian
    content = bytes.fromhex("0000 0c02 00000001 00000002 00000001 fffffffe")
    assert decode_idx(content, origin="memory").tolist() == [[1, -2]]
    assert encode_idx(np.array([[1, -2]], dtype=np.int32)) == content


@pytest.mark.parametrize("name", ["plain-idx2-ubyte", "zipped-idx2-ubyte.gz"])
def test_a_file_is_written_and_read(tmp_path: Path, name: str) -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    write_idx(tmp_path / name, array)
    assert (read_idx(tmp_path / name) == array).all()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_zipped_file_is_truly_gzip(tmp_path: Path) -> None:
    write_idx(tmp_path / "a.gz", np.zeros(3, dtype=np.uint8))
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == bytes.fromhex("0000 0801 00000003 000000")


def test_a_truncated_gzip_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut-idx1-ubyte.gz"
    write_idx(path, np.arange(200, dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadFile, match=r"cut-idx1-ubyte\.gz cannot be read"):
        read_idx(path)


def test_a_corrupt_gzip_stream_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bent-idx1-ubyte.gz"
    write_idx(path, np.arange(200, dtype=np.uint8))
    content = bytearray(path.read_bytes())
    content[15] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r"bent-idx1-ubyte\.gz"):
        read_idx(path)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n", b"", b"\0\0", b"\0\0\x07\x01\0\0\0\0", b"<html>"])
def test_a_foreign_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture.idx"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r"picture\.idx is no IDX file"):
        read_idx(path)


def test_a_plain_file_called_gz_is_named(tmp_path: Path) -> None:
    path = tmp_path / "page.gz"
    path.write_text("<html>not found</html>")
    with pytest.raises(BadFile, match=r"page\.gz cannot be read"):
        read_idx(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="nowhere"):
        read_idx(tmp_path / "nowhere")


def test_a_header_that_promises_more_is_told_with_the_figures(tmp_path: Path) -> None:
    path = tmp_path / "short-idx1-ubyte"
    path.write_bytes(encode_idx(np.zeros(10, dtype=np.uint8))[:-3])
    with pytest.raises(BadFile, match="18 bytes in all, and it has 15"):
        read_idx(path)


def test_numbers_that_idx_cannot_hold_are_refused() -> None:
    with pytest.raises(Refused, match=r"complex128.*Allowed.*float64"):
        encode_idx(np.zeros(2, dtype=complex))
