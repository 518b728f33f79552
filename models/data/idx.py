"""IDX: the file format in which MNIST and its relatives are published.

Big-endian throughout: two zero bytes, one byte that names the number type, one byte that counts the axes, a
32-bit length for each axis, then the numbers in row-major order and nothing after them. A name that ends in
`.gz` is gzipped. The format carries no checksum, so a flipped pixel passes unseen here; `models.data.fetch`
compares sha256 sums.

Source: LeCun, Cortes and Burges, The MNIST database of handwritten digits (1998),
http://yann.lecun.com/exdb/mnist.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.files import write_file
from models.refusals import BadFile, Refused

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(name).newbyteorder("="): code for code, name in _TYPES.items()}


def read_idx(path: Path) -> NDArray[Any]:
    """The array in an IDX file, in this machine's byte order.

    Raises `BadFile`, naming the file, when it is missing, truncated, no IDX file, or longer or shorter than
    its header says.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(f"{path} cannot be read: {error}.") from error
    return decode_idx(content, origin=str(path))


def decode_idx(content: bytes, *, origin: str) -> NDArray[Any]:
    """The array in the bytes of an (unzipped) IDX file; `origin` names them in a `BadFile`."""
    dtype, shape = _header(content, origin)
    start = 4 + 4 * len(shape)
    expected = start + dtype.itemsize * prod(shape)
    if len(content) != expected:
        raise BadFile(
            f"{origin} is truncated or altered: its header promises {list(shape)} numbers of "
            f"{dtype.itemsize} bytes, {expected:,} bytes in all, and it has {len(content):,}."
        )
    numbers = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return numbers.astype(dtype.newbyteorder("="))


def _header(content: bytes, origin: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES:
        raise BadFile(
            f"{origin} is no IDX file: it begins with {content[:4].hex(' ') or 'nothing'}, where two zero "
            f"bytes and a number type ({', '.join(f'{code:02x}' for code in _TYPES)}) must stand."
        )
    axes = content[3]
    if len(content) < 4 + 4 * axes:
        raise BadFile(f"{origin} is truncated: {len(content)} bytes do not hold the lengths of {axes} axes.")
    return np.dtype(_TYPES[content[2]]), struct.unpack_from(f">{axes}I", content, 4)


def encode_idx(array: NDArray[Any]) -> bytes:
    """The bytes of an (unzipped) IDX file that holds this array.

    Raises `Refused` for number types that IDX does not know.
    """
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None or array.ndim > 255:
        allowed = ", ".join(str(dtype) for dtype in _CODES)
        raise Refused(
            f"IDX cannot hold {array.ndim} axes of {array.dtype}. Allowed: up to 255 axes of {allowed}."
        )
    header = struct.pack(f">2xBB{array.ndim}I", code, array.ndim, *array.shape)
    return header + array.astype(_TYPES[code]).tobytes()


def write_idx(path: Path, array: NDArray[Any]) -> None:
    """Write the array as an IDX file, whole or not at all; gzipped when the name ends in `.gz`."""
    content = encode_idx(array)
    content = gzip.compress(content, mtime=0) if path.suffix == ".gz" else content
    write_file(path, content)
