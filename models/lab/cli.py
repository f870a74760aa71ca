"""The command line: `python -m models`, or `tinygrad-cv`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
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
from .settings import configure
from .task import Task
from .tasks import TASKS
from .tasks.ddpm import DDPMTask
from .train import train

DATA = ("digits", "mnist", "cifar10", "folder:PATH", "text:PATH")


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
    readers: dict[str, Any] = {
        "digits": data.digits,
        "mnist": lambda part: data.mnist(root, part),
        "cifar10": lambda part: data.cifar10(root, part),
    }
    if name not in readers:
        raise RunError(f"no data set is called {name!r}; there are {', '.join(DATA)}")
    return readers[name]("train"), readers[name]("test")


def task_named(model: str) -> type[Task]:
    if model not in TASKS:
        raise RunError(f"no model is called {model!r}; there are {', '.join(TASKS)}")
    return TASKS[model]


def build(settings: dict[str, Any], training: Any) -> Task:
    """The task of a run, before its first step; without training data it can be restored, but not trained."""
    kind = task_named(settings["model"])
    config = restored(kind.presets, settings["config"])
    return kind(config, training, rng=np.random.default_rng(settings["seed"]))


def reopen(folder: str, training: Any = None) -> Task:
    """A trained run at its last checkpoint."""
    run = Run(Path(folder))
    task = build(run.config, training)
    if run.restore(task) == 0:
        raise RunError(f"{folder} has no checkpoint yet; train it first")
    return task


def settings_of(model: str, name: str, root: str | None, seed: int, preset: str | None, changes: dict[str, str]) -> Any:
    """What a run folder's config.json holds, and the training data."""
    kind = task_named(model)
    name = kind.reads if kind.reads == "nothing" else name
    training, _ = read_data(name, root)
    if kind.reads != ("nothing" if training is None else "text" if isinstance(training, data.Text) else "pictures"):
        raise RunError(f"{model} reads {kind.reads}, and {name} is something else; --data is one of {', '.join(DATA)}")
    preset = preset or (name if name in kind.presets else list(kind.presets)[-1])
    config = configure(kind.presets, preset, training, changes)
    where, _, path = name.partition(":")
    data_path = f"{where}:{Path(path).expanduser().resolve()}" if path else name  # found from any folder
    root = root and str(Path(root).expanduser().resolve())
    return {"model": model, "data": data_path, "root": root, "seed": seed, "config": stored(config)}, training


def do_train(args: argparse.Namespace) -> None:
    run = Run(Path(args.out or f"runs/{args.model}-{args.data.replace(':', '-').replace('/', '_')}-{args.seed}"))
    if args.resume:
        settings = run.config
        if settings["model"] != args.model:
            raise RunError(f"{run.folder} holds a {settings['model']}, not a {args.model}")
        training, _ = read_data(settings["data"], settings["root"])
    else:
        changes = dict(change.partition("=")[::2] for change in args.set)
        if args.steps:
            changes["steps"] = str(args.steps)
        settings, training = settings_of(args.model, args.data, args.root, args.seed, args.preset, changes)
    with parallel.workers(args.workers) as team:
        task = build(settings, training)
        if not args.resume:
            if args.start:
                other = reopen(args.start)
                if type(other) is not type(task):
                    raise RunError(f"{args.start} holds a {other.title}; a {task.title} starts from one of its own kind")
                task.start_from(other)
            run.create(settings)
        train(task, run, args.steps or settings["config"]["steps"], save_every=args.save_every)
        if team.rank == 0:
            print(f"done: {run.folder}")


def do_sample(args: argparse.Namespace) -> None:
    task = reopen(args.run)
    options = task.sampling(dict(change.partition("=")[::2] for change in args.set))
    drawn = task.sample(args.n, rng=np.random.default_rng(args.seed), **options)
    if isinstance(drawn, str):
        print(drawn)
    elif args.out is None:
        raise RunError("say where the pictures go: --out FILE.png or FILE.npz")
    else:
        write_samples(Path(args.out), drawn)
        print(args.out)


def do_inpaint(args: argparse.Namespace) -> None:
    """Fill in missing pixels: those that are NaN in a file, or a part of some test pictures."""
    run, task = Run(Path(args.run)), reopen(args.run)
    rng = np.random.default_rng(args.seed)
    if not isinstance(task, DDPMTask):
        raise RunError(f"{args.run} holds a {task.title}; missing pixels are filled in by a DDPM")
    if args.pictures:
        images = read_samples(Path(args.pictures), task.config.shape)
        known = ~np.isnan(images).reshape(*images.shape[:3], -1).any(axis=-1)  # (N, H, W)
    else:
        _, test = read_data(run.config["data"], run.config["root"])
        images = rng.permutation(test.images)[: args.n]
        known = np.broadcast_to(known_pixels(images.shape[1:3], args.missing), images.shape[:3])
    seen = np.where(known.reshape(known.shape + (1,) * (images.ndim - 3)), images, np.float32(0.5))
    filled = task.inpaint(seen, known, rng=rng)
    if Path(args.out).suffix == ".png":
        write_png(Path(args.out), grid(np.concatenate([seen, filled]), len(seen)))
    else:
        write_samples(Path(args.out), filled)
    print(args.out)


def do_eval(args: argparse.Namespace) -> None:
    run = Run(Path(args.run))
    training, test = read_data(run.config["data"], run.config["root"])
    task = reopen(args.run, training)
    rows: list[dict[str, Any]] = []
    try:
        rows = task.evaluate(run.config["data"], training, test)
        print(format_report(rows))
    except NoEvaluator as error:
        print(error)
    facts = {"model": run.config["model"], "data": Path(run.config["data"]).name, "seed": run.config["seed"]}
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
        part = PARTS[name]
        changes = part.changes | ({"steps": str(args.steps)} if args.steps else {})
        settings, _ = settings_of(name, "digits", None, 0, "digits", changes)
        begin = partial(build, settings, training)
        sections.append(demo.carry_out(name, settings, begin, args.workers, folder, training, test))
        page = write_page(folder, demo.TITLE, sections, demo.TEXT)  # also if stopped later
    print(f"open {page}")


def whole(text: str, least: int = 1) -> int:
    """A whole number from `least` on, as an argument's type."""
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least} on")
    return int(text)


def natural(text: str) -> int:
    return whole(text, 0)


def workers(text: str) -> int | str:
    """A number of processes, or auto."""
    return text if text == "auto" else whole(text)


def several(command: argparse.ArgumentParser, default: int) -> None:
    """Let a command have several processes."""
    told = f"processes that share each batch, or auto: all cores (default: {default})"
    command.add_argument("--workers", type=workers, default=default, metavar="N", help=told)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="tinygrad-cv", description="Train, sample and evaluate models on small pictures and on text."
    )
    top.add_argument("--version", action="version", version=f"tinygrad-cv {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("train", help="train a model into a run folder")
    one.add_argument("model", help=", ".join(TASKS))
    one.add_argument("--data", default="digits", help=", ".join(DATA))
    one.add_argument("--root", help="where the data lie (default: $TINYGRAD_CV_DATA)")
    one.add_argument("--preset", help="the sizes to start from: tiny, digits, mnist, text")
    one.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change the configuration")
    one.add_argument("--steps", type=whole)
    one.add_argument("--seed", type=natural, default=0)
    one.add_argument("--start", metavar="RUN", help="begin with the weights of a run (fine-tuning)")
    one.add_argument("--out", help="the run folder (default: runs/MODEL-DATA-SEED)")
    one.add_argument("--save-every", type=whole, default=500, metavar="STEPS")
    several(one, default=1)
    one.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    one.set_defaults(do=do_train)
    one = commands.add_parser("sample", help="draw pictures, or write text, from a run")
    one.add_argument("run")
    one.add_argument("--n", type=whole, default=64, help="pictures, or characters")
    one.add_argument("--seed", type=natural, default=0)
    one.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="an option of this model's sampling"
    )
    one.add_argument("--out", help="FILE.png or FILE.npz")
    one.set_defaults(do=do_sample)
    one = commands.add_parser("inpaint", help="fill in missing pixels with a DDPM's run")
    one.add_argument("run")
    one.add_argument("--missing", default="lower", help=f"of test pictures: {', '.join(MISSING)}")
    one.add_argument("--n", type=whole, default=8, help="test pictures")
    one.add_argument("--pictures", metavar="FILE.npz", help="others than those: `images` in [0, 1], NaN where missing")
    one.add_argument("--seed", type=natural, default=0)
    one.add_argument("--out", required=True, help="FILE.png, what was left above what was filled in, or FILE.npz")
    one.set_defaults(do=do_inpaint)
    one = commands.add_parser("eval", help="measure a run beside floor and baselines, and write its page")
    one.add_argument("run")
    one.set_defaults(do=do_eval)
    one = commands.add_parser("demo", help="train every model on real digits in some six minutes, and write a page")
    one.add_argument("--out", default="runs/demo")
    one.add_argument("--only", action="append", metavar="NAME", help=", ".join(PARTS))
    one.add_argument("--steps", type=whole, help="of each model (default: what suits it)")
    several(one, default=min(2, parallel.cores()))
    one.set_defaults(do=do_demo)
    return top


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
