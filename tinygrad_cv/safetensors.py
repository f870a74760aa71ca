"""Named arrays in one file, in the safetensors format of PyTorch, transformers and diffusers.

A file is: the length of the header (8 bytes, little endian); the header, JSON padded with spaces
to a multiple of 8; and the arrays, in C order and little endian, with neither gaps nor overlaps.
Nothing in it is ever executed. A header:

    {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...,
     "__metadata__": {"format": "pt"}}

Format: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from . import schema
from .files import PathLike, atomic_write
from .typing import Array, PyTree, Shape

# Widest first, the order of the arrays in a file. NumPy has no bfloat16: its bits are held in
# uint16.
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
LARGEST_HEADER = 100_000_000  # bytes
MOST_AXES = 64  # that NumPy 2 can hold


def save(
    state: Mapping[str, Array],
    path: PathLike,
    metadata: Mapping[str, str] | None = None,
    *,
    bfloat16: bool = False,
) -> None:
    """Write named arrays, or tensors whose `.data` is an array, to a file, atomically.

    `metadata` is a few strings beside them. `bfloat16=True` stores float32 arrays in half the
    space, rounded to the nearest bfloat16 (ties to even). Raises TypeError, naming the array, for
    a dtype that the format lacks.
    """
    arrays = {name: _array(name, value) for name, value in state.items()}
    dtypes = {name: _dtype_name(name, array, bfloat16) for name, array in arrays.items()}
    metadata = {"format": "pt", **(metadata or {})}
    if not all(isinstance(text, str) for text in (*metadata, *metadata.values())):
        raise TypeError(f"metadata holds strings by name, so write numbers as text: {metadata}")

    widest_first = list(DTYPES)
    order = sorted(arrays, key=lambda name: (widest_first.index(dtypes[name]), name))
    header: dict[str, PyTree] = {"__metadata__": metadata}
    end = 0
    for name in order:
        start = end
        end += arrays[name].size * DTYPES[dtypes[name]].itemsize
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
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in order:
            file.write(_to_bytes(arrays[name], dtypes[name]))


def load(path: PathLike) -> dict[str, np.ndarray]:
    """The arrays of a file by name; bfloat16 as float32.

    The file is mapped into memory: an array is read when it is used, and copied, page by page,
    when it is written to (the file never changes). Raises ValueError for a damaged file, and says
    what is wrong with it.
    """
    buffer, start, entries, _ = _open(path)
    return {name: _read(buffer, start, entry) for name, entry in entries.items()}


def load_metadata(path: PathLike) -> dict[str, str]:
    """The strings that a file carries beside its arrays, such as `{"format": "pt"}`."""
    return _open(path)[3]


# ---------------------------------------------------------------------------------------- arrays


def _array(name: str, value: Array) -> np.ndarray:
    """An array, or the data of a tensor; TypeError for other things and for other names."""
    if not isinstance(name, str) or name == "__metadata__":
        raise TypeError(f"an array's name is a string other than '__metadata__', not {name!r}")
    data = value if isinstance(value, (np.ndarray, np.generic)) else getattr(value, "data", None)
    if not isinstance(data, (np.ndarray, np.generic)):
        raise TypeError(f"{name!r} is neither an array nor a tensor; wrap it in np.asarray")
    return np.asarray(data)


def _dtype_name(name: str, array: np.ndarray, bfloat16: bool) -> str:
    """The format's name of the dtype that an array is stored in."""
    dtype = NAMES.get(array.dtype.newbyteorder("<"))
    if dtype is None:
        known = ", ".join(map(str, NAMES))
        raise TypeError(f"{name!r} is {array.dtype}, which the format lacks; it has {known}")
    return "BF16" if bfloat16 and dtype == "F32" else dtype


def _to_bytes(array: np.ndarray, dtype: str) -> memoryview:
    """An array's elements as they stand in a file."""
    values = _to_bfloat16(array) if dtype == "BF16" else array
    contiguous = np.ascontiguousarray(values, DTYPES[dtype])
    return contiguous.reshape(-1).view(np.uint8).data


def _to_bfloat16(array: np.ndarray) -> np.ndarray:
    """The upper halves of float32 numbers, rounded to nearest, ties to even, as uint16."""
    bits = array.astype(np.float32, order="C").view(np.uint32)
    upper = bits >> 16
    rounded = (bits + np.uint32(0x7FFF) + (upper & 1)) >> 16
    quiet_nan = upper | 0x40
    return np.where(np.isnan(array), quiet_nan, rounded).astype(np.uint16)


def _read(buffer: mmap.mmap, start: int, entry: Entry) -> np.ndarray:
    """One array of a file whose arrays start at `start`."""
    dtype = DTYPES[entry.dtype]
    array: np.ndarray = np.ndarray(entry.shape, dtype, buffer, start + entry.start)
    if entry.dtype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    if entry.dtype == "BOOL":  # a bool of any byte but 0 and 1 misbehaves
        return np.not_equal(array.view(np.uint8), 0, dtype=np.bool)
    native = array.astype(dtype.newbyteorder("="), copy=False)
    return native if native.flags.aligned else native.copy()


# ---------------------------------------------------------------------------------------- header


class Entry(NamedTuple):
    """One array in the header; `start` and `stop` count from the first array's first byte."""

    dtype: str
    shape: Shape
    start: int
    stop: int


FIELDS = {"dtype", "shape", "data_offsets"}
PICKLE = (
    "it looks like a pickle of torch.save, which can run any code when it is opened. "
    "Convert it where PyTorch is: "
    "safetensors.torch.save_file(torch.load(path, weights_only=True), new_path)"
)


def _open(path: PathLike) -> tuple[mmap.mmap, int, dict[str, Entry], dict[str, str]]:
    """A file's bytes, where its arrays start in them, its arrays, its metadata."""
    with open(path, "rb") as file:
        try:
            text, size = _header(file)
            entries, metadata = _parse(text, size)
        except ValueError as error:
            raise ValueError(
                f"{os.fspath(path)} is not a sound safetensors file: {error}"
            ) from None
        buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return buffer, 8 + len(text), entries, metadata


def _header(file: BinaryIO) -> tuple[bytes, int]:
    """The header of a file, and how many bytes follow it."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if start.startswith((b"PK\x03\x04", b"\x80\x02")) and length > size:  # 640 is a length, too
        raise ValueError(PICKLE)
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
    return file.read(length), size - 8 - length


def _parse(text: bytes, size: int) -> tuple[dict[str, Entry], dict[str, str]]:
    """The arrays and the metadata of a header, if they fit `size` bytes of data."""
    try:
        header = schema.parse(text, _as_read)
    except ValueError as error:  # bad UTF-8 or bad JSON
        raise ValueError(f"its header cannot be read: {error}") from None
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")

    metadata = header.pop("__metadata__", None)
    if metadata is None:
        metadata = {}
    strings = isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())
    if not strings:
        raise ValueError("its __metadata__ holds something other than strings")
    entries = {name: _entry(name, fields) for name, fields in header.items()}
    _check_layout(entries, size)
    return entries, metadata


def _as_read(fields: dict[str, Any]) -> Entry | dict[str, Any]:
    """An array in the header as soon as it is read: a dictionary takes five times the memory."""
    return fields if fields.keys() != FIELDS or _fault(fields) else _sound(fields)


def _sound(fields: dict[str, Any]) -> Entry:
    return Entry(fields["dtype"], tuple(fields["shape"]), *fields["data_offsets"])


def _fault(fields: object) -> str:
    """What is wrong with the fields of an array; nothing, if they are what they should be."""
    if not (isinstance(fields, dict) and fields.keys() >= FIELDS):
        return "lacks a dtype, a shape or data_offsets"
    dtype = fields["dtype"]
    shape = fields["shape"]
    offsets = fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        return f"has the unknown dtype {dtype!r}; known are {', '.join(DTYPES)}"
    if not (_naturals(shape) and _naturals(offsets) and len(offsets) == 2):
        return f"has the shape {shape} and the offsets {offsets}, which must be whole numbers >= 0"
    return ""


def _entry(name: str, fields: object) -> Entry:
    """One array in the header, checked by itself."""
    if not isinstance(fields, Entry):
        if fault := _fault(fields):
            raise ValueError(f"{name!r} {fault}")
        assert isinstance(fields, dict)
        fields = _sound(fields)
    dtype, shape, start, stop = fields
    itemsize = DTYPES[dtype].itemsize
    if len(shape) > MOST_AXES or math.prod(n for n in shape if n) * itemsize >= 2**63:
        raise ValueError(f"{name!r} of shape {shape} is larger than any array can be")
    needed = math.prod(shape) * itemsize
    if stop - start != needed:
        offsets = [start, stop]
        raise ValueError(f"{name!r} needs {needed} bytes ({dtype} {shape}) but has {offsets}")
    return fields


def _check_layout(entries: Mapping[str, Entry], size: int) -> None:
    """Refuse arrays that do not fill `size` bytes one behind the other."""
    end = 0
    for name in sorted(entries, key=lambda name: (entries[name].start, entries[name].stop)):
        start = entries[name].start
        if start != end:
            fault = "a hole" if start > end else "an overlap"
            raise ValueError(f"{name!r} starts at {start}, not at {end}: {fault}")
        end = entries[name].stop
    if end != size:
        fault = "cut off?" if end > size else f"{size - end} bytes trail"
        raise ValueError(f"its arrays take {end} bytes, but {size} follow the header: {fault}")


def _naturals(values: object) -> bool:
    """Whether this is a list of whole numbers >= 0."""
    return isinstance(values, list) and all(type(n) is int and n >= 0 for n in values)
