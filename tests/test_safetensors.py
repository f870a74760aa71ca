"""The safetensors format: everything comes back bit for bit, and no damaged file gets through."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tinygrad_cv.files import atomic_write, locked
from tinygrad_cv.safetensors import DTYPES, load, load_metadata, save

# The folder of a test may be used again by the next example: each example replaces the file.
same_folder = settings(suppress_health_check=[*settings().suppress_health_check, HealthCheck.function_scoped_fixture])

dtypes = st.sampled_from(
    ["<f8", ">f8", "f4", ">f4", "f2", "u8", "i8", ">i8", "u4", "i4", "u2", ">u2", "i2", "u1", "i1", "?", np.longlong]
)
shapes = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def any_array(draw: st.DrawFn) -> np.ndarray:
    """Any dtype and shape; contiguous or not: transposed, reversed, every second element."""
    array = draw(npst.arrays(draw(dtypes), draw(shapes)))
    if array.ndim:
        array = draw(st.sampled_from([array, array.T, array[::-1], array[::2], np.asfortranarray(array)]))
    return array


def bits(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


@same_folder
@given(state=st.dictionaries(st.text(st.characters(codec="utf-8")), any_array(), max_size=6))
def test_every_array_comes_back_bit_for_bit(tmp_path: Path, state: dict[str, np.ndarray]) -> None:
    state.pop("__metadata__", None)
    save(state, tmp_path / "a")
    back = load(tmp_path / "a")
    assert back.keys() == state.keys()
    for name, array in state.items():
        assert back[name].shape == array.shape
        assert back[name].dtype == array.dtype.newbyteorder("=")
        assert back[name].flags.aligned
        assert bits(back[name]) == bits(array)


def test_a_file_is_laid_out_as_the_format_says(tmp_path: Path) -> None:
    state = {"b": np.ones(3, np.float32), "a": np.ones(1, np.uint8), "c": np.ones(2), "A": np.zeros((), "f4")}
    save(state, tmp_path / "file", {"é": "1"})
    content = (tmp_path / "file").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0
    assert list(header) == ["__metadata__", "c", "A", "b", "a"]  # widest first, then by name
    assert header["b"] == {"dtype": "F32", "shape": [3], "data_offsets": [20, 32]}
    assert len(content) == 8 + length + 33
    assert load_metadata(tmp_path / "file") == header["__metadata__"] == {"format": "pt", "é": "1"}


def test_loaded_arrays_can_be_changed_and_the_file_stays(tmp_path: Path) -> None:
    save({"w": np.arange(4.0)}, tmp_path / "file")
    first = load(tmp_path / "file")["w"]
    first += 1
    assert load(tmp_path / "file")["w"].tolist() == [0, 1, 2, 3]
    save({"w": first}, tmp_path / "file")  # over the file that it is mapped from
    assert load(tmp_path / "file")["w"].tolist() == first.tolist() == [1, 2, 3, 4]


def test_tensors_and_numbers_of_numpy_are_saved_by_their_data(tmp_path: Path) -> None:
    save({"t": SimpleNamespace(data=np.ones(2)), "n": np.float32(3)}, tmp_path / "file")
    assert load(tmp_path / "file")["t"].tolist() == [1, 1]
    assert load(tmp_path / "file")["n"] == 3


@pytest.mark.parametrize(
    ("state", "metadata", "words"),
    [
        ({"w": np.ones(2, complex)}, None, "'w' is complex128"),
        ({"w": np.array([None])}, None, "'w' is object"),
        ({"w": [1.0]}, None, "'w' is neither an array nor a tensor"),
        ({"__metadata__": np.ones(2)}, None, "__metadata__"),
        ({1: np.ones(2)}, None, "not 1"),
        ({}, {"steps": 3}, "strings"),
    ],
)
def test_what_the_format_lacks_is_refused_when_saving(tmp_path: Path, state: Any, metadata: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        save(state, tmp_path / "file", metadata)
    assert not any(tmp_path.iterdir())


# ----------------------------------------------------------------------------------------------------------- bfloat16


# float32 numbers near and on the border between two bfloat16, of every size, with infinities and NaN of any bits
halves = st.tuples(st.integers(0, 0xFFFF), st.sampled_from([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF]))
notable = st.sampled_from([0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FFFFFFF, 0xFF800000, 0xFFFFFFFF, 0x80000000])
patterns = st.lists(halves.map(lambda h: h[0] << 16 | h[1]) | notable, max_size=20)
float32s = patterns.map(lambda p: np.array(p, np.uint32).view(np.float32))


@same_folder
@given(array=float32s)
def test_bfloat16_rounds_to_the_nearest_and_ties_to_even(tmp_path: Path, array: np.ndarray) -> None:
    save({"w": array, "double": np.ones(1)}, tmp_path / "file", bfloat16=True)
    back = load(tmp_path / "file")
    assert back["double"].dtype == np.float64
    found = back["w"]
    assert found.dtype == np.float32
    assert np.array_equal(np.isnan(found), np.isnan(array))
    numbers = ~np.isnan(array)
    # The two bfloat16 on either side of a number, as exact float64; above the largest comes 2**128, which is infinity.
    down = (array[numbers].view(np.uint32) >> 16 << 16).astype(np.uint32)
    lower, exact = np.abs(down.view(np.float32)).astype(float), np.abs(array[numbers]).astype(float)
    with np.errstate(invalid="ignore"):
        bounded = np.where(np.isinf(lower), np.inf, np.abs((down + 0x10000).view(np.float32)).astype(float))
        upper = np.where(np.isinf(bounded) & np.isfinite(lower), 2.0**128, bounded)
        tie = exact - lower == upper - exact
        up = np.where(tie, down >> 16 & 1 == 1, exact - lower > upper - exact)
    expected = np.where(up, bounded, lower)
    assert np.array_equal(np.abs(found[numbers]), expected)
    assert np.array_equal(np.signbit(found), np.signbit(array))


# --------------------------------------------------------------------------------------------------------- bad files


def craft(header: Any, data: bytes = b"", pad: bytes = b"", length: int | None = None) -> bytes:
    text = (header if isinstance(header, bytes) else json.dumps(header).encode()) + pad
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth > 1 else []


BAD = {
    "empty": (b"", "0 bytes"),
    "seven bytes": (b"\2\0\0\0\0\0\0", "7 bytes"),
    "length past the end": (craft({}, length=3), "3 bytes, but only 2"),
    "header over 100 MB": (craft({}, length=100_000_001), "limit"),
    "length near 2**64": (craft({}, length=2**64 - 1), "limit"),
    "not UTF-8": (craft(b'{"\xff": 1}'), "utf-8"),
    "bad JSON": (craft(b'{"a": '), "cannot be read"),
    "NaN is not JSON": (craft(b'{"a": NaN}'), "NaN"),
    "an infinite number": (craft(b'{"a": 1e999}'), "beyond the largest number"),
    "half of a surrogate pair": (craft(b'{"\\ud800": ' + json.dumps(entry(shape=[0], offsets=[0, 0])).encode() + b"}"), "pair"),
    "-0": (craft(json.dumps({"a": entry()}).replace("[0, 8]", "[-0, 8]").encode(), bytes(8)), "-0 is not a whole number"),
    "a list for a header": (craft([]), "not a JSON object"),
    "an endless number": (craft(b'{"a": ' + b"9" * 5000 + b"}"), "cannot be read"),
    "deep nesting": (craft(b'{"a":' * 200_000), "nested"),
    "nesting one level too deep": (craft({"a": entry(shape=[0], offsets=[0, 0], more=nested(126))}), "nested"),
    "duplicate keys": (craft(b'{"a":1,"a":1}'), "'a' stands there twice"),
    "an entry that is no object": (craft({"a": 1}), "'a' lacks"),
    "no shape": (craft({"a": {"dtype": "F32", "data_offsets": [0, 0]}}), "'a' lacks"),
    "unknown dtype": (craft({"a": entry("F33")}, bytes(8)), "F33"),
    "a dtype that is no string": (craft({"a": entry(["F32"])}, bytes(8)), "dtype"),
    "negative dimension": (craft({"a": entry(shape=[-2])}, bytes(8)), "whole"),
    "float dimension": (craft({"a": entry(shape=[2.0])}, bytes(8)), "whole"),
    "bool dimension": (craft({"a": entry(shape=[True, 2])}, bytes(8)), "whole"),
    "a shape that is no list": (craft({"a": entry(shape=2)}, bytes(8)), "whole"),
    "negative offset": (craft({"a": entry(offsets=[-8, 0])}, bytes(8)), "whole"),
    "bool offset": (craft({"a": entry("U8", [1], [False, True])}, bytes(1)), "whole"),
    "three offsets": (craft({"a": entry(offsets=[0, 8, 8])}, bytes(8)), "whole"),
    "end before start": (craft({"a": entry(offsets=[8, 0])}, bytes(8)), "needs 8 bytes"),
    "shape and offsets disagree": (craft({"a": entry(shape=[3])}, bytes(8)), "needs 12 bytes"),
    "dtype and offsets disagree": (craft({"a": entry("F64")}, bytes(8)), "needs 16 bytes"),
    "overflow to zero": (craft({"a": entry(shape=[2**32, 2**32], offsets=[0, 0])}), "larger"),
    "overflow beside zero": (craft({"a": entry(shape=[2**62, 2**62, 0], offsets=[0, 0])}), "larger"),
    "too many axes": (craft({"a": entry(shape=[1] * 65, offsets=[0, 4])}, bytes(4)), "larger"),
    "start not at 0": (craft({"a": entry(offsets=[4, 12])}, bytes(12)), "a hole"),
    "a hole": (craft({"a": entry(), "b": entry(offsets=[12, 20])}, bytes(20)), "'b' starts at 12, not at 8: a hole"),
    "an overlap": (craft({"a": entry(), "b": entry(offsets=[4, 12])}, bytes(12)), "'b' starts at 4.*an overlap"),
    "the same bytes twice": (craft({"a": entry(), "b": entry()}, bytes(8)), "an overlap"),
    "truncated": (craft({"a": entry()}, bytes(7)), "take 8 bytes, but 7 follow"),
    "trailing bytes": (craft({"a": entry()}, bytes(9)), "1 bytes trail"),
    "metadata of numbers": (craft({"__metadata__": {"a": 1}}), "other than strings"),
    "metadata that is a list": (craft({"__metadata__": []}), "other than strings"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_damaged_file_is_refused(tmp_path: Path, kind: str) -> None:
    content, words = BAD[kind]
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=rf"bad\.safetensors is not a sound safetensors file: (?s:.*){words}"):
        load(tmp_path / "bad.safetensors")


GOOD = {
    "no arrays": (craft({}), {}),
    "zero size": (craft({"a": entry(shape=[0, 2**40], offsets=[0, 0]), "b": entry()}, bytes(8)), {"a": 0, "b": 2}),
    "zero size at the end": (craft({"b": entry(), "a": entry(shape=[0], offsets=[8, 8])}, bytes(8)), {"b": 2, "a": 0}),
    "zero size out of order": (craft({"b": entry(), "a": entry("U8", [0], [0, 0])}, bytes(8)), {"b": 2, "a": 0}),
    "scalar": (craft({"a": entry(shape=[], offsets=[0, 4])}, bytes(4)), {"a": 1}),
    "padding": (craft({"a": entry()}, bytes(8), pad=b"  \n\t "), {"a": 2}),
    "unsorted": (craft({"b": entry(offsets=[8, 16]), "a": entry()}, bytes(16)), {"b": 2, "a": 2}),
    "extra fields": (craft({"a": entry(colour={"deep": [1.5, None]})}, bytes(8)), {"a": 2}),
    "nesting as deep as may be": (craft({"a": entry(more=nested(125))}, bytes(8)), {"a": 2}),
    "metadata is null": (craft({"__metadata__": None, "a": entry()}, bytes(8)), {"a": 2}),
}


@pytest.mark.parametrize("kind", GOOD)
def test_an_unusual_but_sound_file_is_read(tmp_path: Path, kind: str) -> None:
    content, sizes = GOOD[kind]
    (tmp_path / "good").write_bytes(content)
    assert {name: array.size for name, array in load(tmp_path / "good").items()} == sizes
    assert load_metadata(tmp_path / "good") == {}


def test_unaligned_arrays_are_copied_into_place(tmp_path: Path) -> None:
    values = np.array([1.5, -2], "<f4")
    header = {"a": entry("U8", [1], [0, 1]), "b": entry(offsets=[1, 9])}
    (tmp_path / "file").write_bytes(craft(header, b"\7" + values.tobytes()))
    back = load(tmp_path / "file")["b"]
    assert back.flags.aligned
    assert back.tolist() == [1.5, -2]


def test_a_bool_of_any_byte_is_true_or_false(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(craft({"a": entry("BOOL", [3], [0, 3])}, b"\0\1\2"))
    assert load(tmp_path / "file")["a"].view(np.uint8).tolist() == [0, 1, 1]


@same_folder
@given(data=st.data())
def test_a_changed_byte_never_crashes_the_reader(tmp_path: Path, data: st.DataObject) -> None:
    save({"a": np.ones((2, 3), np.float32), "b": np.ones(1, np.uint8)}, tmp_path / "file", {"k": "v"})
    content = bytearray((tmp_path / "file").read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    content[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "file").write_bytes(content)
    try:
        found = load(tmp_path / "file")
    except ValueError:
        return
    assert sum(array.nbytes for array in found.values()) == 25  # a name, or a dtype or shape of the same size


# ------------------------------------------------------------------------------------------------------ atomic writing


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "file"
    save({"w": np.ones(2)}, path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, limits[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            save({"w": np.ones(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [b"old", None])
def test_an_interrupted_write_leaves_things_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, old: bytes | None
) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)

    def fsync(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(type(error)), atomic_write(path) as file:
        file.write(b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if old is None else [old])


def test_a_write_is_on_the_disk_before_it_gets_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "file", []
    monkeypatch.setattr(os, "fsync", lambda number: seen.append((os.fstat(number).st_size, path.exists())))
    with atomic_write(path) as file:
        file.write(b"12345")
    assert seen[0] == (5, False)
    assert path.read_bytes() == b"12345"


def test_the_name_of_a_file_is_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power loss after `atomic_write` leaves the new file: its folder is forced to the disk after the name is there."""
    path, seen = tmp_path / "file", []
    folder = tmp_path.stat()

    def note(number: int) -> None:
        if os.path.samestat(os.fstat(number), folder):
            seen.append(path.exists())

    monkeypatch.setattr(os, "fsync", note)
    with atomic_write(path) as file:
        file.write(b"12345")
    assert seen == [True]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device: '.*/file'"), atomic_write(tmp_path / "file"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_lock_says_who_holds_it_and_goes_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path):
        with pytest.raises(BlockingIOError, match=f"in use by process {os.getpid()} on "), locked(path):
            pass
        assert path.exists()
    assert not path.exists()
    child = os.fork()
    if not child:
        with locked(path):
            os._exit(0)  # without leaving the block
    os.waitpid(child, 0)
    with locked(path):
        assert path.read_text().startswith(f"process {os.getpid()} ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have no names here")
def test_a_pipe_is_written_to_and_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    with atomic_write(path) as file:
        file.write(b"bytes")
    reader.join()
    assert read == [b"bytes"]
    assert path.is_fifo()


def test_what_a_killed_writer_has_left_goes_with_the_next_write_of_the_name(tmp_path: Path) -> None:
    """And neither what another writer is at work on, nor what has another name."""
    path, other = tmp_path / "file[1]", tmp_path / ".file1.0123abcd.tmp"
    other.write_bytes(b"not ours")
    child = os.fork()
    if not child:
        with atomic_write(path) as file:
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (left,) = set(tmp_path.iterdir()) - {other}
    with atomic_write(path) as first:
        assert not left.exists()
        first.write(b"first")
        with atomic_write(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert set(tmp_path.iterdir()) == {path, other}


def test_ctrl_c_at_any_event_of_a_lock_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    counted = 0

    def strike(event: str, args: tuple[object, ...]) -> None:
        nonlocal counted
        if str(path) in args[:1] or event in ("fcntl.flock", "os.truncate"):
            counted -= 1
            if counted == 0:
                signal.raise_signal(signal.SIGINT)

    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        return
    sys.addaudithook(strike)
    for at in range(1, 12):
        counted = at
        try:
            with locked(path):
                pass
        except KeyboardInterrupt:
            if path.exists():
                os._exit(at)
    os._exit(0 if counted > 0 else 99)


def test_where_nothing_can_be_locked_files_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", flock)
    for content in (b"one", b"two"):
        with atomic_write(tmp_path / "file") as file:
            file.write(content)
    assert contents_of(tmp_path) == {"file": b"two"}


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        save({}, tmp_path / "nowhere" / "file")


# -------------------------------------------------------------------------------------------------------------- parity


@pytest.mark.parity
@same_folder
@given(state=st.dictionaries(st.text(st.characters(codec="utf-8")), any_array(), max_size=6))
def test_files_equal_those_of_the_safetensors_package(tmp_path: Path, state: dict[str, np.ndarray]) -> None:
    peer = pytest.importorskip("safetensors.numpy")
    state.pop("__metadata__", None)
    native = {name: np.array(array, array.dtype.newbyteorder("="), order="C") for name, array in state.items()}
    save(state, tmp_path / "ours")
    assert (tmp_path / "ours").read_bytes() == peer.save(native, {"format": "pt"})
    for name, array in peer.load_file(tmp_path / "ours").items():
        assert array.dtype == native[name].dtype
        assert np.array_equal(bits(array), bits(native[name]))


@pytest.mark.parity
@pytest.mark.parametrize("kind", [kind for kind in (*BAD, *GOOD) if kind != "too many axes"])  # for NumPy
def test_the_safetensors_package_agrees_which_files_are_sound(tmp_path: Path, kind: str) -> None:
    peer = pytest.importorskip("safetensors")
    path = tmp_path / "file"
    path.write_bytes({**BAD, **GOOD}[kind][0])
    try:
        with peer.safe_open(path, "numpy") as file:
            names = sorted(file.keys())
    except (peer.SafetensorError, OSError):
        assert kind in BAD
    else:
        assert names == sorted(load(path)), kind


@pytest.mark.parity
@same_folder
@given(array=float32s)
def test_bfloat16_equals_that_of_torch(tmp_path: Path, array: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    save({"w": array}, tmp_path / "file", bfloat16=True)
    expected = torch.from_numpy(array).to(torch.bfloat16).float().numpy()
    assert np.array_equal(load(tmp_path / "file")["w"], expected, equal_nan=True)


def test_every_dtype_of_the_format_has_a_width_in_order() -> None:
    widths = [dtype.itemsize for dtype in DTYPES.values()]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02\x8a\n"])
def test_a_pickle_of_pytorch_is_recognised_and_not_opened(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "weights.pt").write_bytes(start + bytes(100))
    with pytest.raises(ValueError, match=r"weights\.pt .*pickle of torch\.save, which can run any code.*save_file"):
        load(tmp_path / "weights.pt")


def test_a_header_may_have_any_length(tmp_path: Path) -> None:
    """One of 640 bytes begins as a pickle does."""
    lengths = set()
    for n in range(400, 600, 4):
        save({"a": np.arange(3)}, tmp_path / "file", {"key": "x" * n})
        lengths.add(int.from_bytes((tmp_path / "file").read_bytes()[:8], "little"))
        assert load_metadata(tmp_path / "file")["key"] == "x" * n
    assert 640 in lengths
