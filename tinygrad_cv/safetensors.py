"""Named arrays in one file, in the safetensors format that PyTorch, transformers and diffusers read and write.

A file is: the length of the header (8 bytes, little endian); the header, JSON padded with spaces to a multiple of 8,
`{"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {"format": "pt"}}`; and the
arrays, in C order and little endian, with neither gaps nor overlaps. Nothing in it is ever executed.
Format: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from .files import atomic_write

# Widest first, the order of the arrays in a file. NumPy has no bfloat16: its bits are held in uint16.
DTYPES: dict[str, np.dtype] = {
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "BF16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}
LARGEST_HEADER = 100_000_000
MOST_AXES = 64  # that NumPy 2 can hold
DEEPEST_HEADER = 127  # objects and lists inside each other, as in the format's own reader


def save(
    state: Mapping[str, Any],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    *,
    bfloat16: bool = False,
) -> None:
    """Write named arrays, or tensors whose `.data` is an array, to a file, atomically.

    `metadata` is a few strings beside them. `bfloat16=True` stores float32 arrays in half the space, rounded to the
    nearest bfloat16 (ties to even). Raises TypeError, naming the array, for a dtype that the format lacks.
    """
    arrays = {name: _array(name, value) for name, value in state.items()}
    dtypes = {name: _dtype_name(name, array, bfloat16) for name, array in arrays.items()}
    metadata = {"format": "pt", **(metadata or {})}
    if not all(isinstance(text, str) for text in (*metadata, *metadata.values())):
        raise TypeError(f"metadata holds strings by name, so write numbers as text: {metadata}")

    order = sorted(arrays, key=lambda name: (list(DTYPES).index(dtypes[name]), name))
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in order:
        start, end = end, end + arrays[name].size * DTYPES[dtypes[name]].itemsize
        header[name] = {
            "dtype": dtypes[name],
            "shape": arrays[name].shape,
            "data_offsets": [start, end],
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > LARGEST_HEADER:
        raise ValueError(
            f"the names and metadata take {len(text)} bytes; readers refuse above {LARGEST_HEADER}"
        )
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            values = _to_bfloat16(arrays[name]) if dtypes[name] == "BF16" else arrays[name]
            contiguous = np.ascontiguousarray(values, DTYPES[dtypes[name]])
            file.write(contiguous.reshape(-1).view(np.uint8).data)


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a file by name; bfloat16 as float32.

    The file is mapped into memory: an array is read when it is used, and copied, page by page, when it is written to
    (the file never changes). Raises ValueError for a damaged file, saying what is wrong with it.
    """
    buffer, start, entries, _ = _open(path)
    return {name: _read(buffer, start, *entry) for name, entry in entries.items()}


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The strings that a file carries beside its arrays, such as `{"format": "pt"}`."""
    return _open(path)[3]


# ------------------------------------------------------------------------------------------------------------- arrays


def _array(name: str, value: Any) -> np.ndarray:
    if not isinstance(name, str) or name == "__metadata__":
        raise TypeError(f"an array's name is a string other than '__metadata__', not {name!r}")
    value = value if isinstance(value, (np.ndarray, np.generic)) else getattr(value, "data", None)
    if not isinstance(value, (np.ndarray, np.generic)):
        raise TypeError(f"{name!r} is neither an array nor a tensor; wrap it in np.asarray")
    return np.asarray(value)


def _dtype_name(name: str, array: np.ndarray, bfloat16: bool) -> str:
    dtype = NAMES.get(array.dtype.newbyteorder("<"))
    if dtype is None:
        raise TypeError(
            f"{name!r} is {array.dtype}, which the format lacks; it has {', '.join(map(str, NAMES))}"
        )
    return "BF16" if bfloat16 and dtype == "F32" else dtype


def _to_bfloat16(array: np.ndarray) -> np.ndarray:
    """The upper halves of float32 numbers, rounded to nearest, ties to even, as uint16."""
    bits = array.astype(np.float32, order="C").view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(array), bits >> 16 | 0x40, rounded).astype(np.uint16)


def _read(
    buffer: mmap.mmap, start: int, dtype: str, shape: tuple[int, ...], offset: int
) -> np.ndarray:
    array: np.ndarray = np.ndarray(shape, DTYPES[dtype], buffer, start + offset)
    if dtype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    if dtype == "BOOL":
        return np.not_equal(
            array.view(np.uint8), 0, dtype=np.bool
        )  # a bool of any byte but 0 and 1 misbehaves
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return native if native.flags.aligned else native.copy()


# ------------------------------------------------------------------------------------------------------------- header

Entry = tuple[str, tuple[int, ...], int]  # dtype, shape, offset
TOO_DEEP = f"its header is nested too deeply, over {DEEPEST_HEADER} levels"


def _open(path: str | os.PathLike[str]) -> tuple[mmap.mmap, int, dict[str, Entry], dict[str, str]]:
    """A file's bytes, where its arrays start in them, its arrays, its metadata."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        length = int.from_bytes(start, "little")
        try:
            if start.startswith((b"PK\x03\x04", b"\x80\x02")):
                raise ValueError(
                    "it looks like a pickle of torch.save, which can run any code when it is opened. Convert it where PyTorch "
                    "is: safetensors.torch.save_file(torch.load(path, weights_only=True), new_path)"
                )
            if size < 8:
                raise ValueError(f"it has {size} bytes, too few even for the length of a header")
            if length > LARGEST_HEADER:
                raise ValueError(
                    f"its header would have {length} bytes, over the limit of {LARGEST_HEADER}"
                )
            if length > size - 8:
                raise ValueError(
                    f"its header would have {length} bytes, but only {size - 8} follow; cut off?"
                )
            entries, metadata = _parse(file.read(length), size - 8 - length)
        except ValueError as error:
            raise ValueError(
                f"{os.fspath(path)} is not a sound safetensors file: {error}"
            ) from None
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), 8 + length, entries, metadata


def _parse(text: bytes, size: int) -> tuple[dict[str, Entry], dict[str, str]]:
    """The arrays and the metadata of a header, if they fit `size` bytes of data."""
    try:
        header = json.loads(
            text.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except ValueError as error:  # bad UTF-8 or bad JSON
        raise ValueError(f"its header cannot be read: {error}") from None
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    if _depth(header) > DEEPEST_HEADER:
        raise ValueError(TOO_DEEP)
    metadata = header.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise ValueError("its __metadata__ holds something other than strings")

    spans = {name: _span(name, entry) for name, entry in header.items()}
    end = 0
    for name in sorted(spans, key=lambda name: spans[name][2:]):
        _, _, start, stop = spans[name]
        if start != end:
            raise ValueError(
                f"{name!r} starts at {start}, not at {end}: {'a hole' if start > end else 'an overlap'}"
            )
        end = stop
    if end != size:
        fault = "cut off?" if end > size else f"{size - end} bytes trail"
        raise ValueError(f"its arrays take {end} bytes, but {size} follow the header: {fault}")
    return {
        name: (dtype, shape, start) for name, (dtype, shape, start, _) in spans.items()
    }, metadata


def _span(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """(dtype, shape, start, stop) of one array in the header."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"{name!r} lacks a dtype, a shape or data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"{name!r} has the unknown dtype {dtype!r}; known are {', '.join(DTYPES)}")
    if not (_naturals(shape) and _naturals(offsets) and len(offsets) == 2):
        raise ValueError(
            f"{name!r} has the shape {shape} and the offsets {offsets}, which must be whole numbers >= 0"
        )
    itemsize = DTYPES[dtype].itemsize
    if len(shape) > MOST_AXES or math.prod(n for n in shape if n) * itemsize >= 2**63:
        raise ValueError(f"{name!r} of shape {shape} is larger than any array can be")
    start, stop = offsets
    if stop - start != math.prod(shape) * itemsize:
        raise ValueError(
            f"{name!r} needs {math.prod(shape) * itemsize} bytes ({dtype} {shape}) but has {offsets}"
        )
    return dtype, tuple(shape), start, stop


def _depth(value: Any) -> int:
    """How many objects and lists lie inside each other."""
    depth, level = 0, [value]
    while level := [value for value in level if isinstance(value, (dict, list))]:
        depth += 1
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    return depth


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(n) is int and n >= 0 for n in values)


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"{key!r} stands there twice")
        result[key] = value
    return result


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
