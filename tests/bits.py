"""The bits of every model's training, recorded before `models/` is restructured, compared after.

    python -m tests.bits record           writes tests/bits.json
    python -m tests.bits compare          runs all again: equal to the last bit, or exit status 1
    python -m tests.bits compare vit detr     only the cases whose names begin with these words

Each case trains a task for a few steps, in one process, from seed 0: at its tiny preset with every
choice that its configuration has (cell, architecture, loss, schedule, block, ...), and at each
preset as it stands, so that no value of one is lost. It notes

    start           the arrays of its modules before the first step: order and kind of all draws
    losses          the figures that each step logs, as numbers, sorted within a step
    weights         the arrays of its modules after the last step
    optimisers      those of all its other parts: optimisers, moving averages
    samples         what it draws or writes, with the options of `sample`
    interpolated    what a ViT answers to images of another size than it was trained on
    predicted       what it answers to test data, by the averaged weights
    figures         the numbers of `evaluate`, sorted
    images          the PNG files of `show`

A set of arrays is hashed by no name: it is the sorted list of the hashes of its arrays, and an
array counts by dtype and bytes (C order), so that an attribute may be renamed and an axis of
length 1 may come or go. What is recorded holds for one machine only; bits.json says for which.

Everything of `models/` is reached from `task_of` and `carry_out`, by the words of the command line.
If a word is renamed, RENAMED says how it reads now; the names of the cases stay as recorded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy

from models.lab.settings import configure
from models.lab.tasks import TASKS
from tinygrad_cv import data, nn
from tinygrad_cv.machine import one_blas_thread

RECORD = Path(__file__).with_suffix(".json")
RUNS = Path(__file__).parent.parent / "runs"  # for files that live as long as a case

# How a word of a case, or a "word=value", reads now: {"vit depth": "model.num_hidden_layers"} for
# one model, {"rate": "training.lr"} for all, several words for one: {"heads": "model.a model.b"}.
RENAMED: dict[str, str] = {
    "ddpm times": "timesteps",
    "unlabelled": "label_dropout",
    "sampled": "scheduled_sampling",
    "classification": "class_weight",
    # the encoder of ViT, YOLOS and the segmenter
    "vit steps": "training.steps",
    "vit warm_up": "training.warmup_steps",
    "vit average": "training.ema_decay",
    "vit weight_decay": "training.weight_decay",
    "vit label_smoothing": "training.label_smoothing",
    "vit shift": "training.shift",
    "vit flip": "training.flip",
    "vit mixup": "training.mixup",
    "vit freeze": "training.freeze",
    "vit patch": "model.patch_size",
    "vit depth": "model.num_hidden_layers",
    "vit gelu=none": "model.hidden_act=gelu",
    "vit dropout": "model.hidden_dropout_prob model.attention_probs_dropout_prob",
    "vit stochastic_depth": "model.drop_path_rate",
    "yolos patch": "patch_size",
    "yolos depth": "num_hidden_layers",
    "yolos gelu=none": "hidden_act=gelu",
    "yolos dropout": "hidden_dropout_prob attention_probs_dropout_prob",
    "yolos stochastic_depth": "drop_path_rate",
    "segment patch": "patch_size",
    "segment depth": "num_hidden_layers",
    "segment gelu=none": "hidden_act=gelu",
    "segment dropout": "hidden_dropout_prob attention_probs_dropout_prob",
    "segment stochastic_depth": "drop_path_rate",
}


@dataclass(frozen=True)
class Case:
    """A training: the words behind `--set`, and those behind `sample --set`."""

    model: str
    words: str = ""
    preset: str = ""  # as it stands; otherwise the tiny one with few steps
    sampling: str = ""
    data: str = "digits"
    start: str = ""  # the data of a run that this one starts from: `train --start`
    evaluate: bool = False
    show: bool = False

    def __str__(self) -> str:
        preset = f"preset={self.preset}" if self.preset else ""
        data = "" if self.data == "digits" else f"data={self.data}"
        start = f"start={self.start}" if self.start else ""
        return " ".join(filter(None, [self.model, preset, self.words, data, start, self.sampling]))


def task_of(model: str, preset: str, words: str, training: Any, seed: int = 0) -> Any:
    """The task that `train MODEL --preset PRESET --set WORD ...` begins with."""
    kind = TASKS[model]
    config = configure(kind.presets, preset, training, now(model, words))
    return kind(config, training, rng=np.random.default_rng(seed))


def carry_out(case: Case, folder: Path) -> dict[str, Any]:
    """Train and use a task: what `train`, `sample` and `eval` do with it."""
    model = case.model
    training, test = datasets("nothing" if model in READING_NOTHING else case.data)
    usual = USUAL.get(model, USUAL[""])
    words = case.words if case.preset else f"{usual} {case.words}"
    task = task_of(model, case.preset or "tiny", words, training)
    if case.start:
        other = task_of(model, "tiny", usual, datasets(case.start)[0], seed=1)
        other.step(0)
        task.start_from(other)
    noted: dict[str, Any] = {"start": hashes(modules(task.parts))}
    steps = FAR if case.preset else range(STEPS)
    noted["losses"] = [sorted(task.step(step).values()) for step in steps]
    noted["weights"] = hashes(modules(task.parts))
    noted["optimisers"] = hashes(others(task.parts))
    if case.preset:
        return noted
    if model in DRAWING:
        options = task.sampling(now(model, case.sampling))
        noted["samples"] = digest(task.sample(3, rng=np.random.default_rng(7), **options))
    if model == "ddpm":
        known = np.arange(8) < np.array([3, 5])[:, None, None] + np.zeros((8, 1), int)
        options = {"rng": np.random.default_rng(8), "sampling_steps": 10}
        noted["predicted"] = digest(task.inpaint(test.images[:2], known, **options))
    if model in ("vit", "row-rnn"):
        noted["predicted"] = digest(task.log_probabilities(test.images[:20]))
    if model == "vit" and case.data == "digits":  # images of another size
        larger = datasets("large")[1].images[:20]
        noted["interpolated"] = digest(task.log_probabilities(larger))
    if model in ("detr", "yolos", "segment"):
        noted["predicted"] = digest(task.predictions(task.held_out(test, 3)))
    if case.evaluate:
        rows = task.evaluate("digits", training, test)
        numbers = [value for row in rows for value in row.values() if not isinstance(value, str)]
        noted["figures"] = sorted(map(float, numbers))
    if case.show:
        task.show(folder, training, test)
        noted["images"] = hashes(path.read_bytes() for path in folder.glob("*.png"))
    return noted


def now(model: str, words: str) -> dict[str, str]:
    """Names and values as they read today, from what they read when they were recorded."""
    found = {}
    for word in shlex.split(words):
        name, _, value = word.partition("=")
        names = RENAMED.get(f"{model} {name}", RENAMED.get(name, name)).split()
        usual = " ".join(f"{name}={shlex.quote(value)}" for name in names)
        today = RENAMED.get(f"{model} {word}", RENAMED.get(word, usual))
        for one in shlex.split(today):
            name, _, value = one.partition("=")
            found[name] = value
    return found


# ------------------------------------------------------------------------------------------ cases

STEPS = 6
FAR = (0, 1, 700)  # of a preset: its learning rate rising and falling
DRAWING = {"gan", "ddpm", "pixel-rnn", "char-rnn", "strip", "dates", "reverse"}
READING_NOTHING = {"copying", "dates", "reverse"}
# The learning rate rises and falls within these few steps.
USUAL = {"": f"steps={STEPS} warm_up=1", "gan": f"steps={STEPS}", "copying": f"steps={STEPS}"}
ARCHITECTURES = ("plain", "additive", "multiplicative", "transformer")
CELLS = ("rnn", "gru", "lstm")
RESNET = "block=bottleneck pool=True widths=(8,16) depths=(2,1) stem_size=5"

PRESETS = {
    "gan": "tiny digits mnist",
    "ddpm": "tiny digits mnist",
    "vit": "tiny digits mnist",
    "row-rnn": "tiny digits mnist",
    "pixel-rnn": "tiny digits mnist",
    "char-rnn": "tiny text",
    "copying": "tiny copying",
    "strip": "tiny digits mnist",
    "dates": "tiny dates",
    "reverse": "tiny letters",
    "detr": "tiny digits",
    "yolos": "tiny digits",
    "segment": "tiny digits",
}


def data_of(model: str, preset: str) -> str:
    """The data that a preset is made for."""
    if model == "char-rnn":
        return "text"
    return "noise" if preset == "mnist" else "digits"


CASES = [
    *(
        Case(model, preset=preset, data=data_of(model, preset))
        for model, presets in PRESETS.items()
        for preset in presets.split()
    ),
    Case("gan", evaluate=True, show=True),
    Case("gan", "loss=minimax"),
    Case("gan", "loss=wgan-gp"),
    Case("gan", "loss=wgan-gp discriminator=(8,6) penalty=1.0"),
    Case("gan", "instance_noise=0.0 generator=(8,6) discriminator=(8,4) betas=(0.0,0.9)"),
    Case("gan", data="colour"),
    Case("ddpm", evaluate=True, show=True),
    Case(
        "ddpm",
        "schedule=linear prediction=epsilon",
        sampling="label=3 guidance=2.5 sampling_steps=5",
    ),
    Case("ddpm", "prediction=x0 classes=0", sampling="sampling_steps=5 eta=0.0", evaluate=True),
    Case("ddpm", "schedule=linear prediction=v", sampling="label=3 sampling_steps=5 eta=0.5"),
    Case("ddpm", "blocks=2 attention=(0,2) multipliers=(1,2,2) dropout=0.0"),
    Case("ddpm", "multipliers=(1,) attention=() heads=1 unlabelled=1.0"),
    Case("ddpm", data="colour"),
    Case("vit", evaluate=True, show=True),
    Case("vit", "gelu=none depth=3 dropout=0.1 stochastic_depth=0.3", show=True),
    Case("vit", "mixup=0.0 flip=True shift=0 label_smoothing=0.0"),
    Case("vit", "freeze=patch_embed,blocks.0 depth=2 weight_decay=0.0"),
    Case("vit", "patch=2 average=0.5", data="colour"),
    Case("vit", data="large", start="digits"),
    Case("row-rnn", evaluate=True, show=True),
    Case("row-rnn", "mixup=0.0 flip=True shift=0 label_smoothing=0.0", data="colour"),
    *(Case("row-rnn", f"cell={cell} layers=2 bidirectional=True dropout=0.0") for cell in CELLS),
    Case("pixel-rnn", evaluate=True, show=True),
    *(Case("pixel-rnn", f"cell={cell} layers=2 levels=5 dropout=0.0") for cell in CELLS),
    Case("char-rnn", data="text", evaluate=True),
    *(
        Case(
            "char-rnn",
            f"cell={cell} layers=2 clip=0.1",
            sampling="prompt=the temperature=0.5",
            data="text",
        )
        for cell in CELLS
    ),
    *(Case("copying", f"cell={cell}") for cell in CELLS),
    Case("copying", evaluate=True, show=True),
    *(
        Case("strip", f"architecture={kind}", evaluate=kind == "additive", show=True)
        for kind in ARCHITECTURES
    ),
    *(
        Case(
            "strip",
            f"architecture={kind} sampled=0.9 label_smoothing=0.1 dropout=0.0",
            sampling="beam=3",
        )
        for kind in ARCHITECTURES
    ),
    Case("strip", "order=reversed gap=0 widths=(4,8,8) depths=(2,1,1) stem_size=3"),
    *(Case("dates", f"architecture={kind}", sampling="beam=2") for kind in ARCHITECTURES),
    Case("dates", "cell=lstm layers=2", sampling="source=3.5.1998"),
    *(
        Case("dates", f"architecture={kind} cell={cell} layers=2")
        for kind in ARCHITECTURES[:3]
        for cell in CELLS
    ),
    Case("dates", "architecture=transformer pre_norm=True schedule='inverse square root'"),
    Case("dates", "architecture=transformer encoders=3 decoders=1 heads=4", evaluate=True),
    *(Case("reverse", f"architecture={kind}", show=True) for kind in ARCHITECTURES),
    Case("reverse", "order=same letters=5 longest=7", sampling="source=cab", evaluate=True),
    Case("detr", evaluate=True, show=True),
    Case("detr", "pre_norm=False silent=False frozen=True dropout=0.1 temperature=10000.0"),
    Case("detr", f"{RESNET} encoders=2 decoders=3 classification=1.0"),
    Case("detr", f"{RESNET} silent=False pre_norm=False"),
    Case("detr", "smallest=24 touching=0.0 fragments=0 noise=0.0"),
    Case("yolos", evaluate=True),
    Case("yolos", "gelu=none depth=3 dropout=0.1 stochastic_depth=0.3"),
    Case("yolos", "smallest=24 patch=4 classification=1.0"),
    Case("segment", evaluate=True, show=True),
    Case("segment", "gelu=none depth=3 dropout=0.1 stochastic_depth=0.3"),
    Case("segment", "smallest=24 patch=8"),
]


@cache
def datasets(name: str) -> tuple[Any, Any]:
    """Training and test data: the embedded digits, as they are or changed, or a text."""
    if name == "text":
        text = "the quick brown fox jumps over the lazy dog\n" * 400
        vocabulary, ids = np.unique(list(text), return_inverse=True)
        made = data.Text(ids[:16_000], ids[16_000:], "".join(vocabulary))
        return made, made
    if name == "nothing":
        return None, None
    if name == "noise":  # in the shape of MNIST
        images = np.random.default_rng(0).random((24, 28, 28), np.float32)
        made = data.Dataset("noise", images, np.arange(24) % 10, tuple("0123456789"))
        return made, made
    parts = (first(data.digits("train"), 400), first(data.digits("test"), 100))
    if name == "colour":
        parts = tuple(replace(part, images=in_colour(part.images)) for part in parts)
    if name == "large":  # five classes, 16 x 16 pixels
        parts = tuple(five_classes(part) for part in parts)
    return parts[0], parts[1]


def first(part: data.Dataset, count: int) -> data.Dataset:
    assert part.labels is not None
    return replace(part, images=part.images[:count], labels=part.labels[:count])


def in_colour(images: np.ndarray) -> np.ndarray:
    """Red, green and blue are three powers of grey: (N, H, W) -> (N, H, W, 3)."""
    return np.stack([images, images**2, images**3], axis=-1)


def five_classes(part: data.Dataset) -> data.Dataset:
    assert part.labels is not None
    kept = part.labels < 5
    images = np.kron(part.images[kept], np.ones((1, 2, 2), np.float32))
    return data.Dataset(part.name, images, part.labels[kept], part.classes[:5])


# ----------------------------------------------------------------------------------------- hashes


def modules(parts: dict[str, Any]) -> Iterator[np.ndarray]:
    for part in parts.values():
        if isinstance(part, nn.Module):
            yield from part.state_dict().values()


def others(parts: dict[str, Any]) -> Iterator[np.ndarray]:
    for part in parts.values():
        if not isinstance(part, nn.Module):
            yield from part.state_dict().values()


def hashes(things: Iterable[Any]) -> str:
    """One hash of many things whose names and order do not count."""
    return digest(",".join(sorted(map(digest, things))))


def digest(thing: Any) -> str:
    """A hash of an array, a text, bytes, or objects that hold arrays."""
    found = hashlib.sha256()
    for part in flat(thing):
        found.update(part)
    return found.hexdigest()[:16]


def flat(thing: Any) -> Iterator[bytes]:
    if isinstance(thing, bytes):
        yield thing
    elif isinstance(thing, str):
        yield thing.encode()
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from flat(part)
    elif hasattr(thing, "boxes"):
        yield from flat([thing.labels, thing.boxes, thing.scores])
    else:
        array = np.ascontiguousarray(thing)
        yield array.dtype.str.encode()
        yield array.tobytes()


# ------------------------------------------------------------------------------ record and compare


def noted(case: Case) -> dict[str, Any]:
    """What a case leaves."""
    RUNS.mkdir(exist_ok=True)
    with one_blas_thread(), tempfile.TemporaryDirectory(dir=RUNS) as folder:
        result: dict[str, Any] = json.loads(json.dumps(carry_out(case, Path(folder))))
    return result


def machine() -> dict[str, str]:
    """What the bits hold for."""
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def differences(case: Case, now: dict[str, Any], before: dict[str, Any]) -> list[str]:
    """A line for each thing that is not what it was."""
    lines = []
    for name in sorted(now.keys() | before.keys()):
        if now.get(name) != before.get(name):
            lines.append(f"{case}: {name} {before.get(name)} -> {now.get(name)}")
    return lines


def compared(case: Case, cases: dict[str, Any]) -> list[str]:
    """The differences of a case, or why it cannot be compared."""
    if str(case) not in cases:
        return [f"{case}: not recorded"]
    try:
        return differences(case, noted(case), cases[str(case)])
    except Exception as error:
        return [f"{case}: {type(error).__name__}: {error}"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_training_gives_the_bits_of_before(case: Case) -> None:
    """For `pytest tests/bits.py`; the file's name keeps it out of the suite."""
    record = recorded()
    if record["machine"] != machine():
        pytest.skip(f"recorded on {record['machine']}")
    assert not differences(case, noted(case), record["cases"][str(case)])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bits")
    parser.add_argument("do", choices=("record", "compare"))
    parser.add_argument("words", nargs="*", help="beginnings of names of cases (default: all)")
    parser.add_argument("--times", action="store_true", help="print the seconds of each case")
    args = parser.parse_args(argv)
    chosen = [case for case in CASES if str(case).startswith(tuple(args.words) or "")]
    nothing: dict[str, Any] = {"machine": machine(), "cases": {}}
    record = recorded() if RECORD.exists() else nothing
    if record["machine"] != machine():
        print(f"recorded on {record['machine']}\nthis is     {machine()}", file=sys.stderr)
    lines, start = [], time.monotonic()
    for case in chosen:
        begun = time.monotonic()
        if args.do == "record":
            record["cases"][str(case)] = noted(case)
        else:
            lines += compared(case, record["cases"])
        if args.times:
            print(f"{time.monotonic() - begun:6.2f}  {case}", flush=True)
    if args.do == "record":
        record["machine"] = machine()
        record["cases"] = {
            str(c): record["cases"][str(c)] for c in CASES if str(c) in record["cases"]
        }
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    print("\n".join(lines) or f"{args.do}: {len(chosen)} cases, {time.monotonic() - start:.0f} s")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
