"""The command line: each word is heard or refused by name, and each error is one line."""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.config import declared, named_values
from models.lab import cli, memory, progress
from models.lab.cli import main
from models.lab.describe import default_preset, described, meaning
from models.lab.errors import RunError
from models.lab.report.images import write_png
from models.lab.run import Run
from models.lab.task import Task
from models.lab.tasks import TASKS
from models.lab.tasks.gan import PRESETS, GANTask
from models.lab.train import train
from tinygrad_cv import data, safetensors

TEXT = "to be or not to be, that is the question\n" * 60
IN_ONE_STEP = ["--preset", "tiny", "--steps", "1"]
JUNK = ("", "-", "x" * 100_000, "-" * 100_000, "{[]:1}", "9" * 5000, "1e999", "nan", "(8.5,)", "None", "\ud800", "()")


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code, what it wrote, and to what files."""

    code: int
    out: str
    error: str
    files: dict[str, str] = field(default_factory=dict)


def digest(path: Path) -> str:
    """Of what a file says; a safetensors file's metadata and arrays are all of it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def carry_out(*command: str, folder: Path | None = None) -> Outcome:
    """A command, in this process, and the files that are in a folder then.

    Runs that it names, as tasks are called, are there before.
    """
    reads = command[2:] if command[0] in ("train", *WITHOUT_TASK) else command[1:]
    for task in TASKS.keys() & {word for option, word in pairwise(("", *reads)) if option in ("", "--start")}:
        run_of(task)
    out, error, before = io.StringIO(), io.StringIO(), (sys.stdout, sys.stderr)
    sys.stdout, sys.stderr = out, error
    try:
        code = main(list(command))
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout, sys.stderr = before
    paths = sorted(folder.rglob("*")) if folder else []
    files = {str(path.relative_to(folder)): digest(path) for path in paths if folder and path.is_file()}
    return Outcome(code, out.getvalue(), error.getvalue(), files)


def error_of(*command: str) -> str:
    """The only line of a command that fails."""
    outcome = carry_out(*command)
    assert outcome.code == 2, outcome
    lines = [line for line in outcome.error.splitlines() if "tinygrad-cv" in line]
    assert len(lines) == 1, outcome.error
    assert len(lines[0]) < 2200
    return lines[0]


def data_of(task: str) -> list[str]:
    return ["--data", "text:text.txt"] if TASKS[task].dataset_kind == "text" else []


def new_run(task: str, out: str, steps: int = 1) -> list[str]:
    """A command that trains a tiny model."""
    fewer = ["--set", "model.timesteps=3"] if task == "ddpm" else []
    return ["train", task, "--preset", "tiny", *data_of(task), "--steps", str(steps), *fewer, "--out", out]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: Any) -> Iterator[Path]:
    """A folder in which commands are carried out; `run_of` adds a run of a task."""
    folder, before = tmp_path_factory.mktemp("runs"), Path.cwd()
    os.chdir(folder)
    (folder / "text.txt").write_text(TEXT)
    images = np.zeros((2, 8, 8), np.float32)
    images[:, :4] = np.nan
    np.savez(folder / "mine.npz", images=images)
    np.savez(folder / "others.npz", images=images[:1])
    write_images(folder / "images")
    yield folder
    os.chdir(before)


def write_images(folder: Path) -> None:
    """Images of two classes, a few of each for training and for testing."""
    for part, count in (("train", 8), ("test", 2)):
        for label in ("a", "b"):
            (folder / part / label).mkdir(parents=True)
            for i in range(count):
                write_png(folder / part / label / f"{i}.png", np.full((8, 8), 20 * i, np.uint8))


def run_of(task: str) -> str:
    """A run of a task, trained for one step when it is asked for first."""
    if not Path(task).exists():
        assert main(new_run(task, task)) == 0
    return task


# ------------------------------------------------------------------------------------- each option, used or refused


@dataclass(frozen=True, repr=False)
class Situation:
    """A command that works, and another value for each of its options that is not in VALUES."""

    command: tuple[str, ...]
    values: dict[str, str] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """The task whose run it reads."""
        return self.command[1] if self.command[0] in ("sample", "inpaint", "eval") else ""


VALUES = {
    "--help": "",
    "--data": "folder:images",
    "--root": "elsewhere",
    "--preset": "digits",
    "--set": "model.hidden_size=9",
    "--steps": "3",
    "--seed": "7",
    "--start": "gan",
    "--out": "another",
    "--save-every": "1",
    "--workers": "3",
    "--resume": "",
    "--n": "3",
    "--missing": "left",
    "--images": "others.npz",
    "--only": "vit",
    "--all": "",
    "--labels": "20",
    "--seeds": "2",
}
WITHOUT_TASK = ("demo", "compare")
SMALL_COMPARISON = Situation(("compare", "labels", "--labels", "10", "--seeds", "1"), {"--only": "SVM"})


def commands() -> dict[str, argparse.ArgumentParser]:
    groups = cli.parser()._subparsers
    assert groups is not None
    return groups._group_actions[0].choices  # type: ignore[return-value]


COMMANDS = commands()


def options_of(command: str) -> list[str]:
    return [action.option_strings[-1] for action in COMMANDS[command]._actions if action.option_strings]


def situation_of(command: str, task: str) -> Situation:
    """A command with a task, or with a run of it, with as few words as it needs."""
    kind = TASKS.get(task)
    if command == "compare":
        return SMALL_COMPARISON
    if kind is None:
        return Situation((command, "--steps", "2"))
    if command == "train":
        preset = next(name for name in kind.presets if name != "tiny")
        other = {"--preset": preset, "--start": task, "--set": "training.batch_size=3"}
        return Situation(tuple(new_run(task, "run", 2)), other)
    images = command == "inpaint" or kind.draws == "images"
    out = {"sample": ("--out", "x.npz") if images else (), "inpaint": ("--out", "x.npz"), "eval": ()}[command]
    few = ("--n", "2") if command in ("sample", "inpaint") else ()
    set_to = {"gan": "latent=1", "ddpm": "eta=0", "char-rnn": "temperature=2"}.get(task, "beam=2")
    return Situation((command, task, *few, *out), {"--out": "y.npz" if images else "y.txt", "--set": set_to})


def product() -> Iterator[tuple[Situation, str]]:
    """Each command with each task and each option, as the parser has them."""
    for command in COMMANDS:
        for task in TASKS if command not in WITHOUT_TASK else [""]:
            for option in options_of(command):
                yield situation_of(command, task), option


# What the product has not: an option that depends on others.
OF_DATES = {"--set": "source=3 may 1998", "--out": "y.txt"}
NEW_GAN = ("train", "gan", "--preset", "tiny", "--steps", "2", "--out", "run")
SITUATIONS = (
    Situation(NEW_GAN, {"--set": "model.latent_dim=5", "--preset": "digits"}),
    Situation(("train", "gan", "--out", "again", "--resume"), {"--set": "model.latent_dim=5", "--preset": "digits"}),
    Situation(("sample", "ddpm", "--n", "2", "--out", "x.npz"), {"--set": "sampling_steps=2", "--out": "y.npz"}),
    Situation(("sample", "char-rnn", "--n", "9"), {"--set": "temperature=2", "--out": "y.txt"}),
    Situation(("sample", "dates", "--n", "2"), OF_DATES),
    Situation(("sample", "dates", "--set", "source=3 may 1998"), {"--set": "beam=2", "--out": "y.txt"}),
    Situation(("sample", "vit"), {"--out": "y.png"}),
    Situation(("inpaint", "ddpm", "--n", "2", "--out", "x.npz"), {"--out": "y.npz"}),
    Situation(("inpaint", "ddpm", "--images", "mine.npz", "--out", "x.npz"), {"--out": "y.npz"}),
    Situation(("demo", "--steps", "2")),
    SMALL_COMPARISON,
    Situation(("compare", "missing", "--missing", "upper", "--seeds", "1"), {"--only": "GMM"}),
    Situation(("compare", "augmentation", "--seeds", "1"), {"--only": "VAE"}),
    Situation(("compare", "bayes", "--seeds", "1"), {"--only": "VAE"}),
)
CASES = [(situation, option) for situation in SITUATIONS for option in options_of(situation.command[0])]
PRODUCT = list(product())


def with_option(situation: Situation, option: str) -> tuple[list[str], str]:
    """The command with another value of an option, in the place of that it has; the value."""
    command = list(situation.command)
    value = situation.values.get(option, VALUES.get(option, ""))
    if option in command and option not in ("--set", "--resume", "--labels"):
        place = command.index(option)
        del command[place : place + 2]
    return [*command, option, value] if value else [*command, option], value


WORK = ("sample", "inpaint", "evaluate")


@pytest.fixture
def recorded(monkeypatch: Any) -> list[Any]:
    """What commands ask of others whose work takes long: training, drawing, measuring, workers."""
    asked: list[Any] = []
    real_workers, real_train = cli.parallel.workers, cli.train

    def workers(count: Any) -> Any:
        asked.append(("workers", count))
        return real_workers(1)

    def trained(task: Any, run: Run, steps: int, *, save_every: int) -> int:
        asked.append(("train", steps, save_every))
        return real_train(task, run, steps, save_every=save_every)

    def part(*arguments: Any) -> Any:
        name, config, _, count, folder, *_ = arguments
        asked.append(("demo", name, config, count, folder))
        return None

    def compared(name: str, given: Any) -> Path:
        asked.append(("compare", name, replace(given, training=len(given.training), test=None)))
        return Path("page")

    def begun(name: str, real: Any) -> Any:
        def work(*arguments: Any, **options: Any) -> Any:
            asked.append((name, repr(options)))
            return real(*arguments, **options)

        return work

    for kind in {owner for task in TASKS.values() for owner in task.__mro__ if issubclass(owner, Task)} - {Task}:
        for name in WORK:
            if name in vars(kind):
                monkeypatch.setattr(kind, name, begun(name, vars(kind)[name]))
    monkeypatch.setattr(cli.parallel, "workers", workers)
    monkeypatch.setattr(cli, "train", trained)
    monkeypatch.setattr(cli.demo, "carry_out", part)
    monkeypatch.setattr(cli, "compare", compared)
    monkeypatch.setattr(cli, "write_page", lambda folder, *_: folder)
    return asked


def clear(folder: Path, names: set[str]) -> None:
    """Take away what has been added to a folder."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if str(path.relative_to(folder)) not in names:
            path.rmdir() if path.is_dir() else path.unlink()


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


Seen = tuple[Outcome, list[Any]]


def seen(command: list[str], folder: Path, recorded: list[Any]) -> Seen:
    """What a command does, and asks for; the folder is as it was, then."""
    before = names_in(folder)
    if "--resume" in command and "again" in command:
        shutil.copytree(run_of("gan"), folder / "again")
        recorded.clear()
    outcome = carry_out(*command, folder=folder)
    asked = list(recorded)
    recorded.clear()
    clear(folder, before)
    return outcome, asked


@pytest.fixture(scope="module")
def usual() -> dict[tuple[str, ...], Seen]:
    """What the commands of situations do as they stand: each is carried out once."""
    return {}


def check_one_line(outcome: Outcome) -> None:
    assert outcome.code == 2, outcome
    assert outcome.error.count("\n") == 1, outcome.error
    assert "Traceback" not in outcome.error
    assert len(outcome.error) < 2200


def check_option(
    situation: Situation, option: str, runs: Path, recorded: list[Any], usual: dict[tuple[str, ...], Seen]
) -> None:
    """It is used if anything comes out otherwise: another file, line or number of workers."""
    command, value = with_option(situation, option)
    for task in {situation.run, command[1] if option == "--start" else "", value} & TASKS.keys():
        run_of(task)
    recorded.clear()
    other, asked_then = seen(command, runs, recorded)
    if option == "--help":
        assert (other.code, other.error, asked_then) == (0, "", [])
        assert f"usage: tinygrad-cv {command[0]} [" in other.out
        return
    if situation.command not in usual:
        usual[situation.command] = seen(list(situation.command), runs, recorded)
    before, asked = usual[situation.command]
    if other.code:
        check_one_line(other)
        assert {word for word, *_ in asked_then} <= {"workers"}, "it was refused after the work"
        by_its_value = value.partition("=")[0].rpartition(":")[2] if value else "run is not a run"
        assert before.code or option in other.error or by_its_value in other.error, other.error
    elif (option, situation.command[-1]) != ("--resume", "--resume"):
        assert (before, asked) != (other, asked_then)


@pytest.mark.parametrize(("situation", "option"), CASES, ids=lambda case: " ".join(getattr(case, "command", [case])))
def test_each_option_is_used_or_refused_by_name(
    situation: Situation, option: str, runs: Path, recorded: list[Any], usual: dict[tuple[str, ...], Seen]
) -> None:
    check_option(situation, option, runs, recorded, usual)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PRODUCT))
def test_each_option_of_each_command_and_task_is_used_or_refused_by_name(
    runs: Path, recorded: list[Any], usual: dict[tuple[str, ...], Seen], case: tuple[Situation, str]
) -> None:
    check_option(*case, runs, recorded, usual)


@pytest.mark.slow
@pytest.mark.parametrize(("situation", "option"), PRODUCT, ids=lambda case: " ".join(getattr(case, "command", [case])))
def test_the_whole_product_of_commands_tasks_and_options(
    situation: Situation, option: str, runs: Path, recorded: list[Any], usual: dict[tuple[str, ...], Seen]
) -> None:
    check_option(situation, option, runs, recorded, usual)


# ------------------------------------------------------------------------------------------------- values and words


SOME = [(task, name) for task, kind in TASKS.items() for name, _ in named_values(kind.presets["tiny"])]
# What is seen in no weight of three steps: it is for `eval`, or bounds what stays below it.
NOT_IN_WEIGHTS = ("data.measured_scenes", "training.max_grad_norm", "data.judged", "data.draws")
NOT_IN_WEIGHTS += tuple(f"training.fine_tuning_{name}" for name in ("steps", "batch", "lr"))


def another(value: Any, limits: Any) -> list[str]:
    """Values like a setting's, of which at least one should make sense."""
    if isinstance(value, bool):
        return [str(not value)]
    if isinstance(value, str):
        return [word for word in limits or () if word != value] or ["x"]
    if isinstance(value, int):
        return [str(value + 1), str(value // 2), str(value * 2)]
    if isinstance(value, float):
        return [str(value / 2 + 0.01), str(min(0.9, value * 2 + 0.1))]
    return [str(tuple(item + 1 for item in value)), str(tuple(item * 2 for item in value)), str(value[:-1])]


def weights_of(task: str, runs: Path, *words: str) -> Any:
    """What three steps of training lead to; or the error."""
    before = names_in(runs)
    with np.errstate(all="ignore"):
        outcome = carry_out(*new_run(task, "set", 3), *words)
    if outcome.code:
        clear(runs, before)
        return outcome
    arrays = safetensors.load(runs / "set" / "checkpoint.safetensors")
    clear(runs, before)
    return {name: array.tobytes() for name, array in arrays.items()}


def check_setting(task: str, name: str, runs: Path, usual: dict[Any, Any]) -> None:
    if (task, name) in (("ddpm", "model.timesteps"), ("char-rnn", "training.steps")) or name == "training.steps":
        return  # which the command sets itself
    if task not in usual:
        usual[task] = weights_of(task, runs)
    usual_value = dict(named_values(TASKS[task].presets["tiny"]))[name]
    heard, texts = [], another(usual_value, declared(TASKS[task].presets["tiny"], name).limits)
    for text in set(texts) - {str(usual_value)}:
        found = weights_of(task, runs, "--set", f"{name}={text}")
        if isinstance(found, Outcome):
            check_one_line(found)
            assert name.rpartition(".")[2] in found.error
        else:
            heard.append(found != usual[task])
    assert not heard or any(heard) or name in NOT_IN_WEIGHTS, f"of {texts} none was heard"


@given(st.sampled_from(SOME))
def test_a_setting_is_heard_or_refused_by_name(
    runs: Path, usual: dict[Any, Any], which: tuple[str, str]
) -> None:
    check_setting(*which, runs, usual)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "name"), SOME)
def test_each_setting_is_heard_or_refused_by_name(task: str, name: str, runs: Path, usual: dict[Any, Any]) -> None:
    check_setting(task, name, runs, usual)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_is_written_out_once_and_with_its_value(command: str) -> None:
    words = [command, *(["gan"] if command not in WITHOUT_TASK else [])]
    for action in COMMANDS[command]._actions:
        if not action.option_strings or action.dest == "help":
            continue
        option = action.option_strings[-1]
        value = [VALUES[option]] if action.nargs != 0 else []
        wrong_words = [[option.upper(), *value], [option, *value, option, *value], [option, *value, "extra"]]
        wrong_words += [[option[:-1], *value]] if option != "--n" else []  # shortened
        wrong_words += [[option]] if value else []
        for wrong in wrong_words:
            repeated = action.dest in ("set", "only", "resume", "all", "labels", "missing") and wrong.count(option) > 1
            assert repeated or f"see tinygrad-cv {command} --help" in error_of(*words, *wrong)
    for wrong in ([], ["gan", "extra"]) if command not in WITHOUT_TASK else (["extra"],):
        assert f"see tinygrad-cv {command} --help" in error_of(command, *wrong)


@given(st.sampled_from(SOME), st.sampled_from(JUNK))
def test_a_value_that_does_not_fit_is_one_line_with_its_name(
    runs: Path, which: tuple[str, str], text: str
) -> None:
    task, name = which
    kind = declared(TASKS[task].presets["tiny"], name).kind
    text_data = ["--data", "text:text.txt"] if TASKS[task].dataset_kind == "text" else []
    if kind is str and name.endswith("freeze") and text in ("", "-"):
        return  # nothing is frozen
    steps = ["--steps", "1"] if name != "training.steps" else []
    command = ["train", task, "--preset", "tiny", *text_data, *steps, "--out", "junk", "--set", f"{name}={text}"]
    before = names_in(runs)
    outcome = carry_out(*command)
    clear(runs, before)
    if text == "()" and kind not in (int, float, bool):
        return  # a tuple of any length may be empty, where the model has a use for it
    assert outcome.code == 2
    assert outcome.error.count("\n") == 1
    assert name.rpartition(".")[2] in outcome.error
    assert len(outcome.error) < 2100


ODD = ("0", "1", "2", "3", "7", "0.5", "1.0", "(1,)", "(2,)", "(0, 0)", "(3, 1)", "(1.0, 0.0)", "()")


@given(st.sampled_from(SOME), st.sampled_from(ODD))
def test_what_cannot_work_is_refused_before_the_run_begins(runs: Path, which: tuple[str, str], text: str) -> None:
    """A step that is not finite is the only way to fail later."""
    task, name = which
    text_data = ["--data", "text:text.txt"] if TASKS[task].dataset_kind == "text" else []
    steps = ["--steps", "1"] if name != "training.steps" else []
    command = ["train", task, "--preset", "tiny", *text_data, *steps, "--out", "odd", "--set", f"{name}={text}"]
    before = names_in(runs)
    with np.errstate(all="ignore"):
        outcome = carry_out(*command)
    begun = (runs / "odd").exists()
    clear(runs, before)
    if outcome.code:
        assert outcome.code == 2
        assert outcome.error.count("\n") == 1 or "gave" in outcome.error
        assert not begun or "gave" in outcome.error, outcome.error


WORDS = [(situation, option) for situation, option in PRODUCT if option not in ("--help", "--resume")]
WORDS += [(situation, "") for situation, option in PRODUCT if option == "--help"]  # TASK or RUN itself


def check_junk(situation: Situation, option: str, text: str, runs: Path, recorded: list[Any]) -> None:
    """It is refused in one line before the work; an odd name of a file or a folder is used."""
    command = list(situation.command)
    for task in {situation.run} & TASKS.keys():
        run_of(task)
    recorded.clear()
    if option in command and option != "--set":
        place = command.index(option)
        del command[place : place + 2]
    if option:
        command.append(f"{option}={text}")
    else:
        command[1:2] = ["--", text] if text.startswith("-") else [text]
    outcome, asked = seen(command, runs, recorded)
    if outcome.code == 0:
        assert option == "--out" and text.strip()
        return
    check_one_line(outcome)
    assert {word for word, *_ in asked} <= {"workers"}, "it was refused after the work"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(WORDS), st.sampled_from(JUNK))
def test_a_word_that_is_no_value_of_an_option_is_no_traceback(
    runs: Path, recorded: list[Any], which: tuple[Situation, str], text: str
) -> None:
    check_junk(*which, text, runs, recorded)


@pytest.mark.slow
@pytest.mark.parametrize(("situation", "option"), WORDS, ids=lambda case: " ".join(getattr(case, "command", [case])))
def test_no_word_is_a_traceback_in_the_whole_product(
    situation: Situation, option: str, runs: Path, recorded: list[Any]
) -> None:
    for text in JUNK:
        check_junk(situation, option, text, runs, recorded)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train gan --seed 1 --seed 2", "--seed is given twice"),
        ("train gan --set model.latent_dim=3 --set model.latent_dim=4", "--set 'model.latent_dim' is given twice"),
        ("train gan --set model.latent_dim", "'model.latent_dim' is not of the form NAME=VALUE"),
        ("train gan --steps 3 --set training.steps=4", "--steps and --set training.steps are the same"),
        ("train gan --step 3", "unrecognized arguments: --step 3"),
        ("train gan --start=", "--start: '' is empty"),
        ("train dates --data digits", "--data: dates makes its own data; leave it out"),
        ("train gan --root here", "--root: digits lies elsewhere; it is for mnist and cifar10"),
        ("train gan --data folder:~no-such-person/x", "~no-such-person/x"),
        ("train gan --root ~no-such-person/x --data mnist", "~no-such-person/x"),
        ("train gan --set model.generator_sizes=(8.5,)", "model.generator_sizes=(8.5,): a value like (8,)"),
        ("train gan --set training.betas=(1,1)", "training.betas=(1.0, 1.0): must be between 0 and 0.999999"),
        ("train gan --set training.betas=(0.5,)", "training.betas=(0.5,): a value like (0.5, 0.99)"),
        ("train gan --set training.generator_lr=1e999", "training.generator_lr=inf: must be finite"),
        ("sample char-rnn --set temperature=" + "9" * 400, "temperature=inf: must be between 0.001 and 1000"),
        ("sample dates --set beam=1000000", "beam=1000000: must be between 1 and 100"),
        ("sample gan --out x.png --n 100000000", "--n: 100000000 is too large; at most 1000000"),
        ("train gan --workers " + "9" * 30, "--workers: '999999999999999999999999999999' is not a whole number"),
        ("inpaint ddpm --missing none --out x.png", "--missing=none: one of lower, upper, left, right, middle"),
        ("eval copying extra", "unrecognized arguments: extra"),
    ],
)
def test_words_that_were_not_heard_are_refused(command: str, message: str, runs: Path) -> None:
    preset = ["--preset", "tiny", "--out", "refused"] if command.startswith("train") else []
    assert message in error_of(*command.split(" "), *preset)
    assert not (runs / "refused").exists()


def test_what_cannot_be_written_is_refused_before_the_work(runs: Path, monkeypatch: Any) -> None:
    def sample(*_: Any, **options: Any) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr(GANTask, "sample", sample)
    for out in ("x.jpg", "x.PNG", "x"):
        assert f"--out {out}: images go to a file that ends in .png or .npz" in error_of("sample", "gan", "--out", out)
    assert "there is no folder missing; make it first" in error_of("sample", "gan", "--out", "missing/x.png")
    assert "there is no folder missing; make it first" in error_of("inpaint", "ddpm", "--out", "missing/x.png")
    assert "a file that ends in .txt" in error_of("sample", "dates", "--out", "x.png")
    assert "say where the images go" in error_of("sample", "gan")
    monkeypatch.setattr(cli, "free_memory", lambda: 10**6)
    many = error_of("sample", "gan", "--out", "x.png", "--n", "1000000")
    assert "--n 1000000: 1000000 images take 1.0 GB, and 0.0 GB are free; draw fewer" in many


@pytest.mark.skipif(memory.free_memory() is None, reason="this system does not say how much memory is free")
def test_what_does_not_fit_into_memory_is_one_line(runs: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 64 << 20)
    error = error_of("train", "copying", "--preset", "tiny", "--set", "model.hidden_size=20000", "--out", "refused")
    assert "this does not fit into memory" in error
    assert not (runs / "refused").exists()
    np.empty(256 << 20, np.uint8)


def test_advice_names_nothing_that_the_command_line_lacks(capsys: Any) -> None:
    """What functions of `tinygrad_cv.data` advise is theirs: download=True, split='all'."""
    for path in Path(data.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Raise | ast.Return | ast.AugAssign):
                continue
            parts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            cli.failed(" ".join(part for part in parts if isinstance(part, str)))
            error = capsys.readouterr().err
            assert not re.search(r"\w=(True|False|\.\.\.|'all')", error), (path, error)


@pytest.mark.parametrize(("task", "measure"), [("vit", "log_probabilities"), ("dates", "write")])
def test_a_page_shows_what_has_been_measured_and_measures_nothing_twice(
    task: str, measure: str, runs: Path, monkeypatch: Any
) -> None:
    kind, seen = TASKS[task], []
    real = getattr(kind, measure)

    def counted(self: Any, *arguments: Any) -> Any:
        seen.append(hashlib.sha256(repr([np.asarray(a).tobytes() for a in arguments]).encode()).hexdigest())
        return real(self, *arguments)

    monkeypatch.setattr(kind, measure, counted)
    before = names_in(runs)
    assert carry_out("eval", task).code == 0
    clear(runs, before)
    assert seen
    assert len(set(seen)) == len(seen)


def test_a_text_is_written_to_a_file(runs: Path) -> None:
    shown = carry_out("sample", "char-rnn", "--n", "50")
    written = carry_out("sample", "char-rnn", "--n", "50", "--out", "y.txt")
    assert written.out == "y.txt\n"
    assert (runs / "y.txt").read_text() == shown.out
    (runs / "y.txt").unlink()


# ------------------------------------------------------------------------------------------------------------- progress


LONG = (  # a command, and what in it may take long
    ("train gan --preset tiny --steps 2 --out run", [(data, "digits"), (GANTask, "__init__"), (GANTask, "step"), (Run, "save")]),
    ("sample gan --out x.npz", [(Run, "restore"), (GANTask, "sample"), (cli, "write_samples")]),
    ("sample char-rnn --n 9", [(Run, "restore"), (TASKS["char-rnn"], "sample")]),
    ("inpaint ddpm --n 2 --out x.npz", [(TASKS["ddpm"], "inpaint"), (cli, "read_data"), (cli, "write_samples")]),
    ("eval vit", [(TASKS["vit"], "evaluate"), (TASKS["vit"], "show"), (cli, "write_page")]),
    (
        "demo --only gan --steps 2 --workers 1 --out run",
        [(GANTask, "step"), (GANTask, "evaluate"), (GANTask, "show"), (cli, "write_page")],
    ),
)
RESULTS: dict[str, Any] = {"evaluate": [{"name": "gan"}], "show": [], "write_page": "page"}  # in the place of long work


@pytest.mark.parametrize(("command", "steps"), LONG, ids=lambda case: case if isinstance(case, str) else "")
def test_whatever_takes_long_is_seen_while_it_lasts(
    command: str, steps: list[tuple[Any, str]], runs: Path, monkeypatch: Any
) -> None:
    for task in {command.split()[1]} & TASKS.keys():
        run_of(task)
    monkeypatch.setattr(progress, "PATIENCE", 0.02)
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    long = set()

    def slow(name: str, real: Any) -> Any:
        def work(*arguments: Any, **options: Any) -> Any:
            shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
            limit = time.monotonic() + 10
            while name not in long and sys.stderr.getvalue() == shown:  # type: ignore[attr-defined]
                assert time.monotonic() < limit, f"nothing is seen of {name}"
                time.sleep(0.01)
            long.add(name)
            return RESULTS[name] if name in RESULTS else real(*arguments, **options)

        return work

    for owner, name in steps:
        monkeypatch.setattr(owner, name, slow(name, getattr(owner, name)))
    before = names_in(runs)
    outcome = carry_out(*command.split())
    clear(runs, before)
    assert outcome.code == 0, outcome.error
    assert long == {name for _, name in steps}


def test_a_short_command_shows_no_bar_and_a_bar_leaves_nothing_behind(monkeypatch: Any, capsys: Any) -> None:
    with progress.watched(), progress.stage("reading"):
        progress.print_line("done")
    assert capsys.readouterr() == ("done\n", "")
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    with progress.watched(), progress.stage("reading"), progress.stage("building"):
        time.sleep(0.2)
        progress.print_line("done")
    shown, seen = capsys.readouterr()
    assert shown == "done\n"
    assert "building: 00:00" in seen
    assert not seen.rpartition("\r")[2].strip()
    assert "\n" not in seen


# ---------------------------------------------------------------------------------------------------- going on, starting


def test_the_same_command_goes_on_with_resume_and_another_one_is_refused(runs: Path) -> None:
    command = ["train", "gan", *IN_ONE_STEP, "--set", "model.latent_dim=5", "--seed", "3", "--out", "going"]
    assert carry_out(*command).code == 0
    assert carry_out(*command, "--resume").code == 0
    only = "with --resume only --steps, --workers and --save-every can change"
    for words, message in (
        (["--set", "model.latent_dim=6"], "--set model.latent_dim=6: the run has 5"),
        (["--set", "model.latent_dam=6"], "nothing is called 'model.latent_dam'"),
        (["--data", "mnist"], "--data mnist: the run has digits"),
        (["--seed", "4"], "--seed 4: the run has 3"),
        (["--preset", "digits"], "--preset digits: model.latent_dim=32: the run has 5"),
        (["--start", "gan"], "--start: the weights come from the checkpoint"),
        (["--root", "elsewhere"], "--root"),
    ):
        error = error_of("train", "gan", "--out", "going", "--resume", *words)
        assert message in error
        assert only in error or "latent_dam" in error
    longer = carry_out("train", "gan", "--out", "going", "--resume", "--steps", "3", "--save-every", "2")
    assert longer.out == "done: going\n"
    assert Run(Path("going")).log[-1]["step"] == 3
    shorter = error_of("train", "gan", "--out", "going", "--resume", "--steps", "2")
    assert "going has made 3 steps already" in shorter
    shutil.rmtree("going")


@pytest.mark.parametrize("task", ["gan", "dates", "char-rnn"])
def test_any_task_starts_from_a_run_of_its_own_kind(task: str, runs: Path) -> None:
    words = ["--data", "text:text.txt"] if task == "char-rnn" else []
    lr = {"gan": "generator_lr"}.get(task, "lr")
    still = ["--set", f"training.{lr}=0.0", "--set", "training.batch_size=8", "--seed", "5"]
    command = ["train", task, *IN_ONE_STEP, *words, *still, "--out", "started", "--start", task]
    assert carry_out(*command).code == 0
    before, after = (safetensors.load(runs / run / "checkpoint.safetensors") for run in (task, "started"))
    part = "generator/" if task == "gan" else "model/"
    weights = [name for name in before if name.startswith(part) and "running" not in name and "batches" not in name]
    assert weights
    for name in weights:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    shutil.rmtree("started")


def test_a_run_of_another_kind_size_or_alphabet_is_no_start(runs: Path) -> None:
    new = ["--preset", "tiny", "--out", "refused", "--start"]
    assert "holds a GAN; a ViT starts from one of its own kind" in error_of("train", "vit", *new, "gan")
    wider = ["--set", "model.latent_dim=9"]
    assert "the other weights do not fit this model" in error_of("train", "gan", *new, "gan", *wider)
    (runs / "other.txt").write_text("abc\n" * 500)
    error = error_of("train", "char-rnn", "--data", "text:other.txt", *new, "char-rnn")
    assert "one model cannot read both" in error
    assert not (runs / "refused").exists()


# ---------------------------------------------------------------------------------------------------- help and terminals


@pytest.mark.parametrize("task", TASKS)
def test_the_help_of_a_task_shows_presets_and_each_value_with_default_and_meaning(task: str) -> None:
    outcome = carry_out("train", task, "--help")
    assert outcome.code == 0
    assert described(task, TASKS[task]) in outcome.out
    words = " ".join(outcome.out.split())
    assert all(f" {preset} " in words for preset in TASKS[task].presets)
    usual = TASKS[task].presets[default_preset(TASKS[task])]
    for config in (usual, TASKS[task].options):
        for name, value in named_values(config):
            *path, last = name.split(".")
            part = config
            for step in path:
                part = getattr(part, step)
            text = meaning(type(part), last)
            assert text, f"{type(part).__name__}.{last} has no comment that says what it means"
            assert f"{name}={value!r} {text}" in words


def test_the_version_is_printed() -> None:
    outcome = carry_out("--version")
    assert outcome.out.startswith("tinygrad-cv 0")
    assert outcome.code == 0


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_letters_that_the_terminal_lacks_are_written_as_escapes(encoding: str, monkeypatch: Any) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(cli, "do_eval", lambda args: print("\u4e2d FD \u03c3"))
    assert main(["eval", "gan"]) == 0
    assert b"\\u4e2d FD \\u03c3" in terminal.buffer.getvalue()  # type: ignore[attr-defined]


def test_a_reader_who_has_enough_is_no_error(monkeypatch: Any, capsys: Any) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(cli, "do_eval", lambda args: print("a row\n" * 10_000))
    with open(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["eval", "gan"]) == 0
    assert capsys.readouterr().err == ""


# --------------------------------------------------------------------------------------------------------------- NaN


def test_the_cause_of_nan_is_found_from_weights_that_it_has_not_spoiled(tmp_path: Path, monkeypatch: Any) -> None:
    """The step that shows NaN has spoiled the weights, in which a second look would find it too."""
    real = GANTask.noise_level
    monkeypatch.setattr(GANTask, "noise_level", lambda self, step: inf if step == 2 else real(self, step))
    task = GANTask(PRESETS["tiny"], data.digits("train"), rng=np.random.default_rng(0))
    run = Run(tmp_path / "run")
    run.create({"task": "gan"})
    with np.errstate(all="ignore"), pytest.raises(RunError, match="step 2 gave") as caught:
        train(task, run, 10)
    assert "was given NaN" not in str(caught.value)
    assert "infinite" in str(caught.value)
