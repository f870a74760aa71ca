"""The command line: `python -m models`, or `tinygrad-cv`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv import __version__, data, parallel

from ..config import restored, stored
from ..generative.ddpm import MISSING, known_pixels
from . import demo
from .errors import RunError
from .evaluation.generation import NoEvaluator, format_report
from .report.images import grid, read_samples, write_png, write_samples
from .report.page import write_page
from .run import Run
from .section import PARTS, section
from .settings import Settings, configure
from .task import Task
from .tasks import TASKS
from .tasks.ddpm import DDPMTask
from .train import train

DATA = ("digits", "mnist", "cifar10", "folder:PATH", "text:PATH")

# ------------------------------------------------------------------------------ data, tasks, runs


def read_data(name: str, root: str | None) -> tuple[Any, Any]:
    """Training and test data by name; the two parts of a text come as one."""
    if name == "nothing":
        return None, None
    kind, _, path = name.partition(":")
    if kind in ("text", "folder") and not path:
        raise RunError(f"--data {name} lacks a path; there are {', '.join(DATA)}")
    if kind == "text":
        text = data.text(path)
        return text, text
    if kind == "folder":
        return data.image_folder(path, 32, "train"), data.image_folder(path, 32, "test")
    if name == "digits":
        return data.digits("train"), data.digits("test")
    if name == "mnist":
        return data.mnist(root, "train"), data.mnist(root, "test")
    if name == "cifar10":
        return data.cifar10(root, "train"), data.cifar10(root, "test")
    raise RunError(f"no data set is called {name!r}; there are {', '.join(DATA)}")


def kind_of(dataset: Any) -> str:
    """What a task's `dataset_kind` would be for a data set."""
    if dataset is None:
        return "nothing"
    return "text" if isinstance(dataset, data.Text) else "images"


def task_named(name: str) -> type[Task]:
    if name not in TASKS:
        raise RunError(f"no task is called {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]


def new_run(
    task: str,
    source: str,
    root: str | None,
    seed: int,
    preset: str | None,
    changes: Mapping[str, str],
    steps: int | None = None,
) -> tuple[dict[str, Any], Any]:
    """What a run folder's config.json holds, and the training data."""
    kind = task_named(task)
    source = "nothing" if kind.dataset_kind == "nothing" else source
    training, _ = read_data(source, root)
    if kind_of(training) != kind.dataset_kind:
        raise RunError(
            f"{task} reads {kind.dataset_kind}, and {source} is something else; "
            f"--data is one of {', '.join(DATA)}"
        )
    preset = preset or (source if source in kind.presets else list(kind.presets)[-1])
    if steps:
        changes = {**changes, "training.steps": str(steps)}
    settings = configure(kind.presets, preset, training, changes)
    config = {
        "task": task,
        "data": with_absolute_path(source),
        "root": root and str(Path(root).expanduser().resolve()),
        "seed": seed,
        "config": stored(settings),
    }
    return config, training


def with_absolute_path(source: str) -> str:
    """The name of a data set that is understood in any folder."""
    where, _, path = source.partition(":")
    return f"{where}:{Path(path).expanduser().resolve()}" if path else source


def build(config: Mapping[str, Any], training: Any) -> Task:
    """The task of a run before its first step; without data it can be used, but not trained."""
    kind = task_named(config["task"])
    settings: Settings = restored(config["config"], next(iter(kind.presets.values())))
    settings.check(training)
    return kind(settings, training, rng=np.random.default_rng(config["seed"]))


def reopen(folder: str, training: Any = None) -> Task:
    """A trained run at its last checkpoint."""
    run = Run(Path(folder))
    run.check()
    with run.config_named():
        task = build(run.config, training)
    if run.restore(task) == 0:
        raise RunError(f"{folder} has no checkpoint yet; train it first")
    return task


# --------------------------------------------------------------------------------------- commands


def do_train(args: argparse.Namespace) -> None:
    place = f"{args.task}-{args.data.replace(':', '-').replace('/', '_')}-{args.seed}"
    run = Run(Path(args.out or f"runs/{place}"))
    if args.resume:
        run.check()
        config = run.config
        if config["task"] != args.task:
            raise RunError(f"{run.folder} holds a {config['task']}, not a {args.task}")
        training, _ = read_data(config["data"], config["root"])
    else:
        config, training = new_run(
            args.task, args.data, args.root, args.seed, args.preset, words(args.set), args.steps
        )
    with parallel.workers(args.workers) as team:
        with run.config_named() if args.resume else nullcontext():
            task = build(config, training)
        if args.start and not args.resume:
            start_from_run(task, args.start)
        steps = args.steps or config["config"]["training"]["steps"]
        with run.held():
            if not args.resume:
                run.create(config)
            train(task, run, steps, save_every=args.save_every)
        if team.rank == 0:
            print(f"done: {run.folder}")


def start_from_run(task: Task, folder: str) -> None:
    """Fine-tuning: begin with the weights of a run."""
    other = reopen(folder)
    if type(other) is not type(task):
        raise RunError(
            f"{folder} holds a {other.title}; a {task.title} starts from one of its own kind"
        )
    task.start_from(other)


def do_sample(args: argparse.Namespace) -> None:
    task = reopen(args.run)
    options = task.sampling(words(args.set))
    drawn = task.sample(args.n, rng=np.random.default_rng(args.seed), **options)
    if isinstance(drawn, str):
        print(drawn)
    elif args.out is None:
        raise RunError("say where the images go: --out FILE.png or FILE.npz")
    else:
        write_samples(Path(args.out), drawn)
        print(args.out)


def do_inpaint(args: argparse.Namespace) -> None:
    """Fill in missing pixels: those that are NaN in a file, or a part of some test images."""
    run, task = Run(Path(args.run)), reopen(args.run)
    rng = np.random.default_rng(args.seed)
    if not isinstance(task, DDPMTask):
        raise RunError(f"{args.run} holds a {task.title}; missing pixels are filled in by a DDPM")
    if args.images:
        images = read_samples(Path(args.images), task.settings.model.image_shape)
        known = ~np.isnan(images).reshape(*images.shape[:3], -1).any(axis=-1)  # (N, H, W)
    else:
        _, test = read_data(run.config["data"], run.config["root"])
        images = rng.permutation(test.images)[: args.n]
        known = np.broadcast_to(known_pixels(images.shape[1:3], args.missing), images.shape[:3])
    each_channel = known.reshape(known.shape + (1,) * (images.ndim - 3))
    seen = np.where(each_channel, images, np.float32(0.5))
    filled = task.inpaint(seen, known, rng=rng)
    if Path(args.out).suffix == ".png":
        write_png(Path(args.out), grid(np.concatenate([seen, filled]), len(seen)))
    else:
        write_samples(Path(args.out), filled)
    print(args.out)


def do_eval(args: argparse.Namespace) -> None:
    run = Run(Path(args.run))
    config = run.config
    training, test = read_data(config["data"], config["root"])
    task = reopen(args.run, training)
    rows: list[dict[str, Any]] = []
    try:
        rows = task.evaluate(config["data"], training, test)
        print(format_report(rows))
    except NoEvaluator as error:
        print(error)
    facts = {
        "task": config["task"],
        "data": Path(config["data"]).name,
        "seed": config["seed"],
    }
    page = section(task, run, training, test, rows, facts, Path())
    print(f"open {write_page(run.folder, page.title, [page])}")


def do_demo(args: argparse.Namespace) -> None:
    """Train every model on the embedded digits, and write a page."""
    names = args.only or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise RunError(f"the demo has no {unknown[0]!r}; there are {', '.join(PARTS)}")
    training, test = read_data("digits", None)
    folder, sections = Path(args.out), []
    for name in names:
        config, _ = new_run(name, "digits", None, 0, "digits", PARTS[name].changes, args.steps)
        begin = partial(build, config, training)
        part = demo.carry_out(name, config, begin, args.workers, folder, training, test)
        sections.append(part)
        page = write_page(folder, demo.TITLE, sections, demo.TEXT)  # also if stopped later
    print(f"open {page}")


# -------------------------------------------------------------------------------------- arguments


def words(given: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE, NAME=VALUE, ... as a mapping."""
    return dict(word.partition("=")[::2] for word in given)


def positive_int(text: str, least: int = 1) -> int:
    """A whole number from `least` on, as an argument's type."""
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least} on")
    return int(text)


def non_negative_int(text: str) -> int:
    return positive_int(text, 0)


def workers(text: str) -> int | str:
    """A number of processes, or auto."""
    return text if text == "auto" else positive_int(text)


def add_workers(command: argparse.ArgumentParser, default: int) -> None:
    """Let a command have several processes."""
    message = f"processes that share each batch, or auto: all cores (default: {default})"
    command.add_argument("--workers", type=workers, default=default, metavar="N", help=message)


def add_set(command: argparse.ArgumentParser, message: str) -> None:
    command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=message)


def add_seed(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=non_negative_int, default=0)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="tinygrad-cv",
        description="Train, sample and evaluate models on small images and on text.",
    )
    top.add_argument("--version", action="version", version=f"tinygrad-cv {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    add_train(commands.add_parser("train", help="train a model into a run folder"))
    add_sample(commands.add_parser("sample", help="draw images, or write text, from a run"))
    add_inpaint(commands.add_parser("inpaint", help="fill in missing pixels with a DDPM's run"))
    add_eval(
        commands.add_parser("eval", help="measure a run beside floor and baselines, write its page")
    )
    add_demo(
        commands.add_parser("demo", help="train every model on digits, some six minutes, as a page")
    )
    return top


def add_train(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("task", help=", ".join(TASKS))
    add("--data", default="digits", help=", ".join(DATA))
    add("--root", help="where the data lie (default: $TINYGRAD_CV_DATA)")
    add("--preset", help="the settings to start from: tiny, digits, mnist, text")
    add_set(command, "change a setting: model.NAME, training.NAME or data.NAME")
    add("--steps", type=positive_int, help="short for --set training.steps=N")
    add_seed(command)
    add("--start", metavar="RUN", help="begin with the weights of a run (fine-tuning)")
    add("--out", help="the run folder (default: runs/TASK-DATA-SEED)")
    add("--save-every", type=positive_int, default=500, metavar="STEPS")
    add_workers(command, default=1)
    add("--resume", action="store_true", help="go on with the run in the folder")
    command.set_defaults(do=do_train)


def add_sample(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("run")
    add("--n", type=positive_int, default=64, help="images, or characters")
    add_seed(command)
    add_set(command, "an option of this model's sampling")
    add("--out", help="FILE.png or FILE.npz")
    command.set_defaults(do=do_sample)


def add_inpaint(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("run")
    add("--missing", default="lower", help=f"of test images: {', '.join(MISSING)}")
    add("--n", type=positive_int, default=8, help="test images")
    mine = "others than those: `images` in [0, 1], NaN where missing"
    add("--images", metavar="FILE.npz", help=mine)
    add_seed(command)
    out = "FILE.png, what was left above what was filled in, or FILE.npz"
    add("--out", required=True, help=out)
    command.set_defaults(do=do_inpaint)


def add_eval(command: argparse.ArgumentParser) -> None:
    command.add_argument("run")
    command.set_defaults(do=do_eval)


def add_demo(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--out", default="runs/demo")
    add("--only", action="append", metavar="NAME", help=", ".join(PARTS))
    add("--steps", type=positive_int, help="of each model (default: what suits it)")
    add_workers(command, default=min(2, parallel.cores()))
    command.set_defaults(do=do_demo)


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        args.do(args)
    except (RunError, parallel.RankError, ValueError, OSError) as error:
        print(f"tinygrad-cv: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("tinygrad-cv: stopped", file=sys.stderr)
        return 130
    return 0
