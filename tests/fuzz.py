"""Mutated files, by the hundred thousand: each is read right, or refused by an error that names it.

    python -m tests.fuzz                     # every kind, 1,000 files of each, seed 0
    python -m tests.fuzz runs --count 20000 --seed 1
    python -m tests.fuzz texts --only 4711   # one file again, with its traceback

A file is a sound one with a few mutations, drawn from (seed, number): any can be made again.
It is an accident if reading it ends in another exception than those that its reader declares, in
one that does not name the file, or in wrong data, or takes longer than LONGEST seconds or more
memory than its kind is allowed. `tests/test_fuzz.py` makes a few of each in every run of the tests.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import itertools
import json
import resource
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.lab.cli import main as lab
from models.lab.cli import reopen
from models.lab.errors import RunError
from models.lab.run import Run, checksum
from tinygrad_cv import data, safetensors
from tinygrad_cv.data import cifar, idx

LONGEST = 20  # seconds
BYTES = [
    0,
    1,
    9,
    10,
    13,
    31,
    32,
    34,
    44,
    45,
    48,
    57,
    58,
    91,
    92,
    93,
    123,
    125,
    127,
    128,
    0xBF,
    0xC0,
    0xED,
    0xFE,
    0xFF,
]
TOKENS = [
    *(
        b"-0",
        b"-1",
        b"0",
        b"1",
        b"2",
        b"1.5",
        b"1e999",
        b"1e308",
        b"99999999999999999999999",
        b"9" * 5000,
    ),
    *(
        b"null",
        b"true",
        b"NaN",
        b"Infinity",
        b'""',
        b'"\\ud800"',
        b'"x"',
        b"[]",
        b"{}",
        b"[[[]]]",
        b"[" * 2000,
        b'{"a":1}',
    ),
]
Files = dict[str, bytes]


class TookTooLong(BaseException):
    """Nobody's `except Exception` catches it."""


# ---------------------------------------------------------------------------------------- mutations


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four small changes, mostly one."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 4])):
        content = MUTATIONS[rng.integers(len(MUTATIONS))](content, rng)
    return content


def piece(content: bytes, rng: np.random.Generator) -> tuple[int, int]:
    """Where a piece of a file begins and ends; half of them near its start, where headers are."""
    length = len(content)
    reach = min(length, 64) if rng.random() < 0.5 else length
    start = int(rng.integers(reach + 1))
    return start, min(length, start + int(rng.geometric(0.1)))


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = piece(content, rng)
    if start == stop:
        return content
    return (
        content[:start]
        + bytes([content[start] ^ (1 << int(rng.integers(8)))])
        + content[start + 1 :]
    )


def put(content: bytes, rng: np.random.Generator) -> bytes:
    start, _ = piece(content, rng)
    return content[:start] + bytes([BYTES[rng.integers(len(BYTES))]]) + content[start + 1 :]


def number(content: bytes, rng: np.random.Generator) -> bytes:
    """A binary number of a size that headers have."""
    start, _ = piece(content, rng)
    bits = int(rng.choice([8, 16, 32, 64]))
    value = int(rng.choice([0, 1, 2, 255, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**62])) % 2**bits
    order = "<" if rng.random() < 0.5 else ">"
    code = {8: "B", 16: "H", 32: "I", 64: "Q"}[bits]
    return content[:start] + struct.pack(order + code, value) + content[start + bits // 8 :]


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: piece(content, rng)[0]]


def remove(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = piece(content, rng)
    return content[:start] + content[stop:]


def repeat(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = piece(content, rng)
    times = int(rng.choice([2, 3, 100]))
    return content[:start] + content[start:stop] * times + content[stop:]


def noise(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = piece(content, rng)
    return content[:start] + rng.bytes(stop - start) + content[stop:]


def token(content: bytes, rng: np.random.Generator) -> bytes:
    """A value of JSON in the place of another, where there is one."""
    start, stop = piece(content, rng)
    colons = [
        i
        for i in range(start, min(len(content), start + 2000))
        if content[i] in b":,[" and i + 1 < len(content)
    ]
    if not colons:
        return remove(content, rng)
    start = int(rng.choice(colons[:40])) + 1
    ends = [i for i in range(start + 1, min(len(content), start + 200)) if content[i] in b",}]\n"]
    stop = ends[0] if ends else stop
    return content[:start] + TOKENS[rng.integers(len(TOKENS))] + content[stop:]


MUTATIONS = [flip, put, number, cut, remove, repeat, noise, token, token]


# -------------------------------------------------------------------------------------------- kinds


class Kind:
    """Sound files, how they are read, what that may raise, and whether what was read is right."""

    errors: tuple[type[Exception], ...] = (data.DamagedFile,)
    memory = 2**28  # bytes, beyond what the process has

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prepare()

    def prepare(self) -> None:
        """Make what serves every case."""

    def write(self, rng: np.random.Generator) -> Path:
        """Write a mutated file; what an error must name."""
        raise NotImplementedError

    def read(self) -> None:
        """Read it. Raises AssertionError for wrong data."""
        raise NotImplementedError

    def put(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


class Safetensors(Kind):
    errors = (ValueError,)

    def prepare(self) -> None:
        rng = np.random.default_rng(0)
        arrays = {
            dtype: rng.integers(0, 2, (2, 3)).astype(numpy)
            for dtype, numpy in safetensors.DTYPES.items()
        }
        safetensors.save(arrays, self.folder / "sound", {"a": "b"})
        self.sound = (self.folder / "sound").read_bytes()

    def write(self, rng: np.random.Generator) -> Path:
        return self.put("mutated.safetensors", mutated(self.sound, rng))

    def read(self) -> None:
        path = self.folder / "mutated.safetensors"
        arrays = safetensors.load(path)
        safetensors.load_metadata(path)
        content = path.read_bytes()
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        header.pop("__metadata__", None)
        assert header.keys() == arrays.keys()
        for name, array in arrays.items():
            first, last = header[name]["data_offsets"]
            assert list(array.shape) == header[name]["shape"]
            raw = np.frombuffer(
                content[start + first : start + last], safetensors.DTYPES[header[name]["dtype"]]
            )
            if header[name]["dtype"] in ("BF16", "BOOL"):  # changed on purpose
                continue
            assert array.tobytes() == raw.tobytes()
        self.compare_with_the_format_s_own_reader(path)

    def compare_with_the_format_s_own_reader(self, path: Path) -> None:
        """Where it is installed: it accepts what we accept, but for dtypes that NumPy lacks."""
        try:
            from safetensors import SafetensorError, safe_open
        except ImportError:
            return
        try:
            with safe_open(path, "np"):
                pass
        except SafetensorError as error:
            raise AssertionError(f"the format's own reader refuses this: {error}") from None


class Idx(Kind):
    def prepare(self) -> None:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (3, 4, 4), np.uint8)
        labels = np.arange(3, dtype=np.uint8)
        self.sound: Files = {
            "train-images-idx3-ubyte": struct.pack(">BBBB3I", 0, 0, 8, 3, *images.shape)
            + images.tobytes(),
            "train-labels-idx1-ubyte": struct.pack(">BBBB1I", 0, 0, 8, 1, 3) + labels.tobytes(),
        }

    def write(self, rng: np.random.Generator) -> Path:
        for name, content in self.sound.items():
            self.put(name, content)
        name = list(self.sound)[rng.integers(2)]
        return self.put(name, mutated_or_packed(self.sound[name], rng))

    def read(self) -> None:
        found = data.mnist(self.folder, verify=False)
        images, labels = (plain(self.folder / name) for name in self.sound)
        assert (found.images * 255).round().astype(np.uint8).tobytes() == images[16:]
        assert found.labels.tolist() == list(labels[8:])
        for name in self.sound:
            content = plain(self.folder / name)
            assert idx.parse_idx(content, name).size == len(content) - 4 - 4 * content[3]


class Cifar(Kind):
    def prepare(self) -> None:
        records = np.random.default_rng(0).integers(0, 256, (2, cifar.RECORD), np.uint8)
        records[:, 0] %= 10
        self.sound = records.tobytes()

    def write(self, rng: np.random.Generator) -> Path:
        for path in self.folder.iterdir():
            path.unlink()
        if rng.random() < 0.5:
            return self.put("test_batch.bin", mutated_or_packed(self.sound, rng))
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            member = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
            member.size = len(self.sound)
            tar.addfile(member, io.BytesIO(self.sound))
        return self.put(cifar.ARCHIVE, mutated_or_packed(packed.getvalue(), rng))

    def read(self) -> None:
        found = data.cifar10(self.folder, "test", verify=False)
        assert found.images.shape[1:] == (32, 32, 3)
        assert len(found.labels) == len(found.images)  # type: ignore[arg-type]
        path = self.folder / "test_batch.bin"
        if path.exists():
            records = np.frombuffer(plain(path), np.uint8).reshape(-1, cifar.RECORD)
            assert found.labels.tolist() == records[:, 0].tolist()  # type: ignore[union-attr]
            pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            assert np.array_equal(found.images, pixels / np.float32(255))


class Images(Kind):
    memory = 2**30  # a small file may hold 89 million pixels
    formats = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM", "TIFF")

    def prepare(self) -> None:
        from PIL import Image

        pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
        self.sound: Files = {}
        for format, mode in itertools.product(self.formats, ("RGB", "L", "P", "RGBA", "1")):
            file = io.BytesIO()
            with contextlib.suppress(OSError, ValueError, KeyError):
                Image.fromarray(pixels).convert(mode).save(file, format)
                self.sound[f"{format}-{mode}"] = file.getvalue()

    def write(self, rng: np.random.Generator) -> Path:
        names = sorted(self.sound)
        return self.put("mutated.png", mutated(self.sound[names[rng.integers(len(names))]], rng))

    def read(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = data.image_folder(self.folder, 4)
        assert all("mutated.png" in str(warning.message) for warning in caught)
        assert found.images.shape == (1, 4, 4, 3)
        assert 0 <= found.images.min() <= found.images.max() <= 1


class Texts(Kind):
    encodings = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32")

    def write(self, rng: np.random.Generator) -> Path:
        lines = [
            "to be, or not to be",
            "sein oder nicht sein, das ist hier die Frage: äöüß",
            "存在か無か",
            "\U0001f600",
        ]
        text = str(rng.choice(["\n", "\r\n", " "])).join(lines * int(rng.integers(1, 4)))
        content = text.encode(self.encodings[rng.integers(len(self.encodings))])
        return self.put("mutated.txt", mutated_or_packed(content, rng))

    def read(self) -> None:
        found = data.text(self.folder / "mutated.txt")
        content = plain(self.folder / "mutated.txt")
        encoding = "utf-8-sig"
        if content.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
            encoding = "utf-32"
        elif content.startswith((b"\xff\xfe", b"\xfe\xff")):
            encoding = "utf-16"
        expected = content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        assert found.decode(np.concatenate([found.train, found.test])) == expected


class Runs(Kind):
    errors = (RunError, ValueError)
    commands = (
        ["gan", "--preset", "tiny", "--steps", "2"],
        ["vit", "--preset", "tiny", "--steps", "2"],
    )

    def prepare(self) -> None:
        self.runs: list[tuple[Files, dict[str, np.ndarray]]] = []
        self.digits = data.digits("train")
        for number, command in enumerate(self.commands):
            folder = self.folder / f"sound-{number}"
            with (
                contextlib.redirect_stderr(io.StringIO()),
                contextlib.redirect_stdout(io.StringIO()),
            ):
                assert lab(["train", *command, "--out", str(folder)]) == 0
            files = {path.name: path.read_bytes() for path in folder.iterdir()}
            self.runs.append((files, safetensors.load(folder / "checkpoint.safetensors")))
        (self.folder / "run").mkdir()

    def write(self, rng: np.random.Generator) -> Path:
        files, self.arrays = self.runs[rng.integers(len(self.runs))]
        self.files = dict(files)
        name = str(rng.choice(["config.json", "log.jsonl", "checkpoint.safetensors", "state"]))
        self.signed = name == "state"
        if self.signed:
            name = "checkpoint.safetensors"
            self.files[name] = self.with_another_state(rng)
        else:
            self.files[name] = mutated(files[name], rng)
        for each, content in self.files.items():
            self.put(f"run/{each}", content)
        return self.folder / "run" / name

    def with_another_state(self, rng: np.random.Generator) -> bytes:
        """A checkpoint whose state was changed by somebody who made the checksum anew."""
        path = self.put("signed", self.files["checkpoint.safetensors"])
        arrays, metadata = safetensors.load(path), safetensors.load_metadata(path)
        metadata["state"] = mutated(metadata["state"].encode(), rng).decode(errors="replace")
        metadata["checksum"] = checksum(arrays, metadata)
        safetensors.save(arrays, path, metadata)
        return path.read_bytes()

    def read(self) -> None:
        run = Run(self.folder / "run")
        lines = run.log
        assert all(type(line["step"]) is int for line in lines)
        task = reopen(str(run.folder), self.digits)
        own = {
            f"{part}/{name}": a
            for part, owner in task.parts.items()
            for name, a in owner.state_dict().items()
        }
        assert own.keys() == self.arrays.keys()
        assert all(np.array_equal(own[name], array) for name, array in self.arrays.items())
        next(task.batches)
        task.rng.random()


KINDS: dict[str, type[Kind]] = {
    "safetensors": Safetensors,
    "idx": Idx,
    "cifar": Cifar,
    "images": Images,
    "texts": Texts,
    "runs": Runs,
}


def mutated_or_packed(content: bytes, rng: np.random.Generator) -> bytes:
    """Mutated; or mutated and then gzipped; or gzipped and then mutated."""
    how = rng.integers(4)
    if how == 0:
        return mutated(gzip.compress(content, 1), rng)
    changed = mutated(content, rng)
    return gzip.compress(changed, 1) if how == 1 else changed


def plain(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


# ------------------------------------------------------------------------------------------ running


@contextlib.contextmanager
def within(memory: int, seconds: int) -> Iterator[None]:
    """Inside this context more memory is refused, and more time is an error."""

    def stop(*_: object) -> None:
        raise TookTooLong

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory, before[1]))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def outcome(kind: Kind, seed: int, number: int) -> tuple[str, str]:
    """How reading a file ends: "right", "refused", or an accident, with its traceback."""
    path = kind.write(np.random.default_rng([seed, number]))
    try:
        with within(kind.memory, LONGEST), np.errstate(all="ignore"):
            kind.read()
    except kind.errors as error:
        if path.name in str(error):
            return "refused", str(error)
        return "unnamed", traceback.format_exc()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return type(error).__name__, traceback.format_exc()
    return "right", ""


def fuzz(name: str, count: int, seed: int, first: int = 0) -> tuple[Counter[str], list[str]]:
    """So many mutated files of a kind: how they ended, and the accidents."""
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    ends: Counter[str] = Counter()
    accidents = []
    try:
        kind = KINDS[name](folder)
        for number in range(first, first + count):
            end, text = outcome(kind, seed, number)
            ends[end] += 1
            if end not in ("right", "refused"):
                accidents.append(f"{name} --seed {seed} --only {number}: {end}\n{text}")
    finally:
        shutil.rmtree(folder)
    return ends, accidents


def main() -> int:
    parser = argparse.ArgumentParser(description="Read mutated files.")
    parser.add_argument(
        "kinds", nargs="*", default=list(KINDS), metavar="KIND", help=", ".join(KINDS)
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one file, by its number")
    args = parser.parse_args()
    failed = False
    for name in args.kinds:
        first, count = (0, args.count) if args.only is None else (args.only, 1)
        ends, accidents = fuzz(name, count, args.seed, first)
        counts = ", ".join(f"{n:,} {end}" for end, n in sorted(ends.items()))
        print(
            f"{name}, seed {args.seed}: {counts}",
            flush=True,
        )
        for accident in accidents[:20]:
            print(accident)
        failed |= bool(accidents)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
