"""A run's folder, which is all that `sample`, `eval` and `--resume` need.

It holds `config.json` (what is trained, on what, from which seed), `log.jsonl` (a line per logged
step) and `checkpoint.safetensors` (all weights and optimiser state, and in its metadata the step,
the state of every random generator, the configuration, and a checksum of it all). What belongs in
each is declared here once, and checked when it is read. Rank 0 alone writes it; all read it: on
many machines it lies where each of them sees it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from tinygrad_cv import parallel, safetensors, schema
from tinygrad_cv.data.state import generator_at
from tinygrad_cv.files import atomic_write, locked
from tinygrad_cv.schema import Natural

from .errors import RunError
from .task import Task

WRITTEN = "it is what `train` wrote when the run began"
MOVABLE = ("data", "root")  # of config.json: where the data lie now


class ConfigFile(TypedDict):
    """config.json."""

    task: str
    data: str
    root: str | None
    seed: Natural
    config: dict[str, object]


LogLine = dict[str, float]  # of log.jsonl: `step`, a whole number, and the metrics


class State(TypedDict):
    """What stands in a checkpoint's metadata under `state`."""

    step: Natural
    rng: dict[str, object]
    batches: dict[str, object]


class Metadata(TypedDict):
    """The metadata of a checkpoint: JSON, and the checksum of everything else in the file."""

    format: str
    state: str
    config: str
    checksum: str


@dataclass
class Run:
    """A folder with a run in it."""

    folder: Path
    kept: bytes = b""  # of config.json, as this process wrote it or read it first

    @property
    def config(self) -> dict[str, Any]:
        """What config.json holds. Raises RunError if it is missing, damaged or of an older kind."""
        path = self.folder / "config.json"
        if not path.is_file():
            raise RunError(
                f"{self.folder} is not a run: it has no config.json. "
                "Train one with `train NAME --out DIR`"
            )
        try:
            content = path.read_bytes()
            loaded = schema.parse(content)
        except ValueError as error:
            raise RunError(f"{path} cannot be read: {error}; {WRITTEN}") from None
        if isinstance(loaded, dict) and "model" in loaded and "task" not in loaded:
            raise RunError(f"{path} was made before configurations were split; train it again")
        try:
            schema.check(loaded, ConfigFile, str(path))
        except ValueError as error:
            raise RunError(f"{error}; {WRITTEN}") from None
        self.kept = self.kept or content
        return dict(loaded)

    @contextmanager
    def config_named(self) -> Iterator[None]:
        """Inside this context a ValueError, of values that do not fit, names config.json."""
        try:
            yield
        except ValueError as error:
            raise RunError(f"{self.folder / 'config.json'}: {error}; {WRITTEN}") from None

    @property
    def log(self) -> list[dict[str, float]]:
        """The lines of log.jsonl. A last one that was cut off, by a full disk, is left out.

        Raises RunError if another one is damaged.
        """
        path = self.folder / "log.jsonl"
        *lines, _ = (path.read_bytes() if path.is_file() else b"").split(b"\n")
        try:
            return [log_line(line, f"line {number}") for number, line in enumerate(lines, start=1)]
        except ValueError as error:
            raise RunError(
                f"{path} is damaged at {error}; take that line out, it serves drawing only"
            ) from None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training in this folder, which is made if it is not there.

        Raises RunError, with who holds it, if one does.
        """
        if parallel.team().rank:
            yield
            return
        places = (self.folder, *self.folder.parents)
        if any(place.exists() and not place.is_dir() for place in places):
            message = "cannot be a run's folder, because a file is in its place"
            raise RunError(f"{self.folder} {message}; choose another --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self.folder / "lock"):
                yield
        except BlockingIOError as error:
            message = f"{error.strerror}, which trains there; wait for it, or choose another --out"
            raise RunError(f"{self.folder} is {message}") from None

    def create(self, config: Mapping[str, Any]) -> None:
        """Write config.json. Raises RunError if there is a run already."""
        if parallel.team().rank:
            return
        if (self.folder / "checkpoint.safetensors").exists():
            message = "holds a run already; go on with --resume, or choose another --out"
            raise RunError(f"{self.folder} {message}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.kept = json.dumps(config, indent=2).encode()
        self.write_config()

    def write_config(self) -> None:
        with atomic_write(self.folder / "config.json") as file:
            file.write(self.kept)

    def save(self, task: Task, step: int) -> None:
        """Write everything that the next step depends on, in one file, all or nothing."""
        if parallel.team().rank:
            return
        path = self.folder / "config.json"
        self.kept = self.kept or path.read_bytes()
        if not path.exists():  # deleted while the run went on
            self.write_config()
        arrays = {
            f"{part}/{name}": array
            for part, owner in task.parts.items()
            for name, array in owner.state_dict().items()
        }
        rng, batches = task.rng.bit_generator.state, task.batches.state()
        metadata = {
            "state": json.dumps({"step": step, "rng": rng, "batches": batches}),
            "config": json.dumps(schema.parse(self.kept)),
        }
        metadata["checksum"] = checksum(arrays, metadata)
        safetensors.save(arrays, self.folder / "checkpoint.safetensors", metadata)

    def check(self) -> None:
        """Raise RunError if config.json is not the one that the checkpoint was trained with.

        Without a checkpoint there is nothing to compare. Values of `data` and `root` may differ:
        data may be moved.
        """
        path = self.folder / "checkpoint.safetensors"
        if not path.is_file():
            return
        _, trained = self.metadata(safetensors.load_metadata(path))
        here = dict(flat(self.config))
        there = dict(flat(trained))
        for name in [*there, *here]:
            if name not in MOVABLE and here.get(name) != there.get(name):
                left, right = (
                    schema.shown(values[name]) if name in values else "missing"
                    for values in (here, there)
                )
                raise RunError(
                    f"{self.folder / 'config.json'}: {name} is {left}, but {right} in {path.name}; "
                    f"{WRITTEN}, put it back"
                )

    def metadata(self, metadata: Mapping[str, str]) -> tuple[Any, Any]:
        """The state and the configuration in a checkpoint's metadata."""
        path = self.folder / "checkpoint.safetensors"
        if "state" not in metadata:
            message = "holds arrays, but not the state of a run"
            raise RunError(f"{path} {message}; it is not a checkpoint that `train` wrote")
        if metadata.keys() == {"format", "state"}:
            raise RunError(f"{path} was made before checkpoints had a checksum; train it again")
        try:
            schema.check(metadata, Metadata, "its metadata")
            state, config = (schema.parse(metadata[key].encode()) for key in ("state", "config"))
            schema.check(state, State, "its state")
            schema.check(config, dict[str, object], "its config")
        except ValueError as error:
            raise RunError(f"{path} is damaged: {error}") from None
        return state, config

    def restore(self, task: Task) -> int:
        """Put a task where the checkpoint was; the number of steps that it had made.

        Raises RunError for a checkpoint of something else, for a damaged one, and for one with NaN
        or infinities.
        """
        path = self.folder / "checkpoint.safetensors"
        if not path.is_file():
            return 0
        arrays = {name: np.array(array) for name, array in safetensors.load(path).items()}
        metadata = safetensors.load_metadata(path)
        state, _ = self.metadata(metadata)
        check_finite(path, arrays)
        if checksum(arrays, metadata) != metadata["checksum"]:
            raise RunError(f"{path} is damaged: its contents do not have its checksum")
        parts: dict[str, dict[str, np.ndarray]] = {part: {} for part in task.parts}
        for full_name, array in arrays.items():
            part, _, name = full_name.partition("/")
            parts.setdefault(part, {})[name] = array
        message = "and the run's config.json do not belong together"
        for part, owner in task.parts.items():
            try:
                owner.load_state_dict(parts.pop(part))
            except (ValueError, KeyError, TypeError) as error:
                raise RunError(f"{path} {message}, at {part!r}: {error}") from None
        if parts:
            raise RunError(f"{path} {message}: the task has no {next(iter(parts))!r}")
        try:
            after = generator_at(state["rng"], task.rng, "its rng")
            if task.batches is not None:
                task.batches.restore(state["batches"])
        except ValueError as error:
            raise RunError(f"{path} {message}: {error}") from None
        task.rng.bit_generator.state = after.bit_generator.state
        return int(state["step"])


def origin(source: str, root: str | None, seed: int) -> dict[str, Any]:
    """What a run begins with besides its settings, as config.json has it: paths are absolute."""
    where, _, path = source.partition(":")
    return {
        "data": f"{where}:{absolute(path)}" if path else source,
        "root": root and absolute(root),
        "seed": seed,
    }


def absolute(path: str) -> str:
    """A path that is understood in any folder."""
    return str(Path(path).expanduser().resolve())


def log_line(content: bytes, place: str) -> LogLine:
    """One line of a log."""
    try:
        line = schema.parse(content)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    schema.check(line, LogLine, place)
    if "step" not in line:
        raise ValueError(f"{place} lacks step")
    schema.check(line["step"], Natural, f"{place}: step")
    return dict(line)


def checksum(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """A number that changes with any bit of a checkpoint, as hexadecimal digits (CRC-32)."""
    total = 0
    for key in ("state", "config"):
        total = zlib.crc32(metadata[key].encode(), total)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        what = f"{name} {array.dtype.str} {array.shape}"
        total = zlib.crc32(what.encode(), total)
        total = zlib.crc32(array.reshape(-1).view(np.uint8).data, total)
    return f"{total:08x}"


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """The values in a stored configuration by their full names, "config.model.cell"."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def check_finite(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise RunError for arrays of a checkpoint that no training goes on from."""
    floats = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    ill = [name for name, array in floats.items() if not np.isfinite(array).all()]
    if ill:
        where = f"{ill[0]} ({len(ill)} arrays in all)"
        raise RunError(f"{path} has NaN or infinities in {where}; train the run anew")
