"""The command line: `python -m models`, or `tinygrad-cv`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv import data

from . import gan
from .baselines import BASELINES
from .metrics import Evaluator, format_report, report
from .page import write_page
from .pictures import write_samples
from .train import Run, RunError, train

MODELS = ("gan",)
DATA = ("digits", "mnist", "cifar10", "folder:PATH")
STEPS = {"tiny": 200, "digits": 6000, "mnist": 20000}


def read_data(name: str, root: str | None) -> tuple[Any, Any]:
    """Training and test pictures of a data set by name."""
    if name.startswith("folder:"):
        return data.image_folder(name[7:], 32, "train"), data.image_folder(name[7:], 32, "test")
    readers: dict[str, Any] = {
        "digits": data.digits,
        "mnist": lambda part: data.mnist(root, part),
        "cifar10": lambda part: data.cifar10(root, part),
    }
    if name not in readers:
        raise RunError(f"no data set is called {name!r}; there are {', '.join(DATA)}")
    return readers[name]("train"), readers[name]("test")


def build(config: dict[str, Any], pictures: np.ndarray) -> gan.GAN:
    """The task of a run, before its first step."""
    settings = gan.configure(config["preset"], pictures.shape[1:], loss=config["loss"])
    return gan.GAN(settings, pictures, config["steps"], rng=np.random.default_rng(config["seed"]))


def reopen(folder: str) -> tuple[Run, gan.GAN, Any, Any]:
    """A trained run: its folder, task at the last checkpoint, training and test pictures."""
    run = Run(Path(folder))
    training, test = read_data(run.config["data"], run.config["root"])
    task = build(run.config, training.images)
    if run.restore(task) == 0:
        raise RunError(f"{folder} has no checkpoint yet; train it first")
    return run, task, training, test


def score(task: gan.GAN, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
    """The metrics of as many samples as there are test pictures, beside floor and baselines."""
    return report(
        task.sample(min(len(test.images), 2000), rng=np.random.default_rng(1)), training.images, test.images,
        Evaluator.load(name), baselines=BASELINES, rng=np.random.default_rng(2),
        train_labels=training.labels, test_labels=test.labels,
    )  # fmt: skip


def do_train(args: argparse.Namespace) -> None:
    if args.model not in MODELS:
        raise RunError(f"no model is called {args.model!r}; there are {', '.join(MODELS)}")
    preset = args.preset or (args.data if args.data in gan.PRESETS else "mnist")
    run = Run(Path(args.out or f"runs/{args.model}-{args.data.replace(':', '-').replace('/', '_')}-{args.seed}"))
    config = run.config if args.resume else {
        "model": args.model, "data": args.data, "root": args.root, "preset": preset, "loss": args.loss,
        "steps": args.steps or STEPS.get(preset, 20000), "seed": args.seed,
    }  # fmt: skip
    training, _ = read_data(config["data"], config["root"])
    task = build(config, training.images)
    if not args.resume:
        run.create(config)
    train(task, run, args.steps or config["steps"], save_every=args.save_every)
    print(f"done: {run.folder}")


def do_sample(args: argparse.Namespace) -> None:
    _, task, _, _ = reopen(args.run)
    write_samples(Path(args.out), task.sample(args.n, rng=np.random.default_rng(args.seed)))
    print(args.out)


def do_eval(args: argparse.Namespace) -> None:
    run, task, training, test = reopen(args.run)
    print(format_report(score(task, run.config["data"], training, test)))


def do_demo(args: argparse.Namespace) -> None:
    """Train on the embedded digits, and write a page."""
    start = time.monotonic()
    training, test = read_data("digits", None)
    run = Run(Path(args.out))
    config = {
        "model": "gan",
        "data": "digits",
        "root": None,
        "preset": "digits",
        "loss": None,
        "steps": args.steps,
        "seed": 0,
    }
    resuming = (run.folder / "config.json").is_file() and run.config == config
    if not resuming:
        run.create(config)
    task = build(config, training.images)
    strip: list[tuple[int, np.ndarray]] = []
    moments = {int(args.steps * share) for share in (0.01, 0.05, 0.1, 0.25, 0.5, 1)}

    def watch(step: int) -> None:
        if step in moments:
            strip.append((step, task.sample(16, rng=np.random.default_rng(3))))

    train(task, run, args.steps, log_every=max(1, args.steps // 200), save_every=1000, watch=watch)
    page = write_page(
        run.folder, title="A GAN that learned to write digits",
        facts={"seed": 0, "steps": args.steps, "seconds": round(time.monotonic() - start), "command": "python -m models demo"},
        samples=task.sample(100, rng=np.random.default_rng(4)), real=np.random.default_rng(5).permutation(test.images),
        strip=strip, log=run.log, figures=task.figures, rows=score(task, "digits", training, test),
    )  # fmt: skip
    print(f"open {page}")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="tinygrad-cv", description="Train, sample and evaluate models on small pictures."
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("train", help="train a model into a run folder")
    one.add_argument("model", help=", ".join(MODELS))
    one.add_argument("--data", default="digits", help=", ".join(DATA))
    one.add_argument("--root", help="where the data lie (default: $TINYGRAD_CV_DATA)")
    one.add_argument("--preset", help=", ".join(gan.PRESETS))
    one.add_argument("--loss", help=", ".join(gan.LOSSES))
    one.add_argument("--steps", type=int)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--out", help="the run folder (default: runs/MODEL-DATA-SEED)")
    one.add_argument("--save-every", type=int, default=500, metavar="STEPS")
    one.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    one.set_defaults(do=do_train)
    one = commands.add_parser("sample", help="draw pictures from a run")
    one.add_argument("run")
    one.add_argument("--n", type=int, default=64)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--out", required=True, help="FILE.png or FILE.npz")
    one.set_defaults(do=do_sample)
    one = commands.add_parser("eval", help="measure a run beside floor and baselines")
    one.add_argument("run")
    one.set_defaults(do=do_eval)
    one = commands.add_parser("demo", help="train a GAN on real digits in two minutes, and write a page")
    one.add_argument("--out", default="runs/demo")
    one.add_argument("--steps", type=int, default=4000)
    one.set_defaults(do=do_demo)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        args.do(args)
    except (RunError, ValueError, OSError) as error:
        print(f"tinygrad-cv: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
