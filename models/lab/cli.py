"""The command line: `python -m models`, or `tinygrad-cv`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tinygrad_cv import __version__, data, parallel
from tinygrad_cv.files import atomic_write
from tinygrad_cv.machine import few_blas_threads

from ..classical.missing import MISSING, grey_out, known_in
from ..config import ImageConfig, named_values, restored, shown, stored
from . import demo
from .comparison import SUBJECTS, compare
from .comparison.subject import Given as Comparison
from .describe import described
from .errors import RunError
from .evaluation.generation import NoEvaluator, format_report
from .memory import free_memory, gigabytes, no_more_than_free
from .optional import need
from .progress import print_line, stage, watched
from .report.images import grid, read_samples, write_png, write_samples
from .report.page import write_page
from .run import Run, origin
from .section import PARTS, section
from .settings import Settings, configure, naming, with_words
from .signals import Terminated, told_to_end
from .task import Task
from .tasks import TASKS
from .train import train

DATA = ("digits", "mnist", "cifar10", "folder:PATH", "text:PATH")
ROOTED = ("mnist", "cifar10")  # data that --root says the place of
IMAGE_FILES = (".png", ".npz")
ADVICE = {  # for those who call functions, and what it is for those who type commands
    "pass root=..., or set": "give --root FOLDER, or set",
    ", or pass download=True": "",
    "; split='all' takes every image": "; let it have a folder `train` and a folder `test`",
    ", or pass verify=False to read it all the same": "",
}
MOST = 10**6  # images or characters that are drawn at once
USUALLY_MISSING = ("lower", "middle")  # parts that `compare missing` fills in
SUBJECTS_HELP = (
    "labels: generative against discriminative classifiers by the number of labels (default); "
    "bayes: generative models as classifiers; augmentation: a classifier that learns from what "
    "they draw; missing: missing pixels filled in"
)
LONGEST = 2000  # characters of a message
MOST_WORKERS = 1024

# ------------------------------------------------------------------------------ data, tasks, runs


@stage("reading data")
def read_data(name: str, root: str | None) -> tuple[Any, Any]:
    """Training and test data by name; the two parts of a text come as one."""
    if name == "nothing":
        return None, None
    kind, _, path = name.partition(":")
    path, root = expanded(path), root and expanded(root)
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
    raise RunError(f"no data set is called {shown(name)}; there are {', '.join(DATA)}")


def expanded(path: str) -> str:
    """A path whose ~ is a home folder. Raises RunError if nobody has this home."""
    try:
        return str(Path(path).expanduser()) if path else path
    except RuntimeError as error:
        raise RunError(f"{shown(path)}: {error}") from None


def kind_of(dataset: Any) -> str:
    """What a task's `dataset_kind` would be for a data set."""
    if dataset is None:
        return "nothing"
    return "text" if isinstance(dataset, data.Text) else "images"


def task_named(name: str) -> type[Task]:
    if name not in TASKS:
        raise RunError(f"no task is called {shown(name)}; there are {', '.join(TASKS)}")
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
    config = {"task": task, **origin(source, root, seed), "config": stored(settings)}
    return config, training


def folder_name(source: str) -> str:
    """The name of a data set as a part of the name of a folder."""
    return source.replace(":", "-").replace("/", "_")


def settings_of(config: Mapping[str, Any]) -> Settings:
    """The settings in a run's config.json. Raises ValueError if they are not of its task."""
    presets = task_named(config["task"]).presets
    settings: Settings = restored(config["config"], next(iter(presets.values())))
    return settings


@stage("building the model")
def build(config: Mapping[str, Any], training: Any) -> Task:
    """The task of a run before its first step; without data it can be used, but not trained."""
    settings = settings_of(config)
    settings.check(training)
    rng = np.random.default_rng(config["seed"])
    return task_named(config["task"])(settings, training, rng=rng)


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
    changes = words(args.set)
    if args.steps and "training.steps" in changes:
        raise RunError("--steps and --set training.steps are the same; give one of them")
    place = f"runs/{args.task}-{folder_name(args.data)}-{args.seed}"
    run = Run(Path(args.out or place))
    if args.resume:
        run.check()
        config = run.config
        if config["task"] != args.task:
            raise RunError(f"{run.folder} holds a {config['task']}, not a {args.task}")
        training, _ = read_data(config["data"], config["root"])
        check_resumed(args, changes, run, training)
    else:
        check_data(args)
        with naming(changes):
            config, training = new_run(
                args.task, args.data, args.root, args.seed, args.preset, changes, args.steps
            )
    asked = args.steps or int(changes.get("training.steps", 0))
    with parallel.workers(args.workers) as team:
        with run.config_named() if args.resume else naming(changes):
            task = build(config, training)
        if args.start and not args.resume:
            start_from_run(task, args.start)
        steps = asked or config["config"]["training"]["steps"]
        with run.held():
            if not args.resume:
                run.create(config)
            train(task, run, steps, save_every=args.save_every)
        if team.rank == 0:
            print_line(f"done: {run.folder}")


def check_data(args: argparse.Namespace) -> None:
    """Raise RunError for a word about data that would not be heard."""
    if task_named(args.task).dataset_kind == "nothing":
        refuse(args, ("data", "root"), f"{args.task} makes its own data; leave it out")
    else:
        check_root(args)


def check_root(args: argparse.Namespace) -> None:
    """Raise RunError for a --root of data that it does not hold."""
    if args.data not in ROOTED:
        refuse(args, ("root",), f"{args.data} lies elsewhere; it is for {' and '.join(ROOTED)}")


def refuse(args: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Raise RunError if one of these options was given."""
    for name in names:
        if name in args.given:
            raise RunError(f"--{name.replace('_', '-')}: {why}")


def check_resumed(
    args: argparse.Namespace, changes: Mapping[str, str], run: Run, training: Any
) -> None:
    """Raise RunError if a run is to go on as another one than it began."""
    config = run.config
    can = "with --resume only --steps, --workers and --save-every can change"
    refuse(args, ("start",), f"the weights come from the checkpoint; leave it out, {can}")
    for name, value in origin(args.data, args.root, args.seed).items():
        if name in args.given and value != config[name]:
            raise RunError(f"--{name} {value}: the run has {config[name]}; {can}")
    with run.config_named():
        now = settings_of(config)
    wanted = with_words(now, changes)
    if args.preset:
        presets = task_named(config["task"]).presets
        wanted = configure(presets, args.preset, training, changes)
    before = dict(named_values(now))
    for name, value in named_values(wanted):
        if name != "training.steps" and value != before[name]:
            word = f"--set {name}" if name in changes else f"--preset {args.preset}: {name}"
            raise RunError(f"{word}={shown(value)}: the run has {shown(before[name])}; {can}")


def start_from_run(task: Task, folder: str) -> None:
    """Fine-tuning: begin with the weights of a run."""
    other = reopen(folder)
    if type(other) is not type(task):
        raise RunError(
            f"{folder} holds a {other.title}; a {task.title} starts from one of its own kind"
        )
    task.start_from(other)


def do_sample(args: argparse.Namespace) -> None:
    kind = task_named(Run(Path(args.run)).config["task"])
    if not kind.draws:
        raise RunError(f"{kind.title}: this model draws nothing; `eval` shows what it has learned")
    images = kind.draws == "images"
    if images and args.out is None:
        raise RunError("say where the images go: --out FILE.png or FILE.npz")
    if args.out is not None:
        check_output(args.out, IMAGE_FILES if images else (".txt",), kind.draws)
    changes = words(args.set)
    if changes.get("source"):
        refuse(args, ("n", "seed"), "one source is given, and nothing is drawn; leave it out")
    task = reopen(args.run)
    options = task.sampling(changes)
    if isinstance(task.settings.model, ImageConfig):
        check_room(args.n, task.settings.model.image_shape)
    drawn = task.sample(args.n, rng=np.random.default_rng(args.seed), **options)
    if args.out is None:
        print_line(drawn)
        return
    if images:
        write_samples(Path(args.out), drawn)
    else:
        with atomic_write(args.out) as file:
            file.write(f"{drawn}\n".encode())
    print_line(args.out)


def check_output(out: str, endings: Sequence[str], what: str) -> None:
    """Raise RunError now for a file that could not be written after the work."""
    path = Path(out)
    if path.suffix not in endings:
        raise RunError(f"--out {out}: {what} go to a file that ends in {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise RunError(f"--out {out}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise RunError(f"--out {out}: a folder has this name; choose another one")
    check_writable(path.parent)
    if path.suffix == ".png":
        need("PIL.Image")


def check_writable(folder: Path) -> None:
    """Raise RunError for a folder that lets nobody write."""
    if folder.exists() and not os.access(folder, os.W_OK):
        raise RunError(f"{folder} cannot be written to; choose another folder or allow it")


def check_room(n: int, shape: tuple[int, ...]) -> None:
    """Raise RunError if so many images, and what is made of them, do not fit into memory."""
    free, taken = free_memory(), 16 * n * int(np.prod(shape))  # float32, and copies
    if free is not None and taken > free:
        room = f"{n} images take {gigabytes(taken)}, and {gigabytes(free)} are free"
        raise RunError(f"--n {n}: {room}; draw fewer")


def do_inpaint(args: argparse.Namespace) -> None:
    """Fill in missing pixels: those that are NaN in a file, or a part of some test images."""
    run = Run(Path(args.run))
    kind = task_named(run.config["task"])
    if not hasattr(kind, "inpaint"):
        names = ", ".join(name for name, task in TASKS.items() if hasattr(task, "inpaint"))
        raise RunError(f"{args.run} holds a {kind.title}; missing pixels are filled in by {names}")
    check_output(args.out, IMAGE_FILES, "images")
    if args.missing not in MISSING:
        raise RunError(f"--missing={args.missing}: one of {', '.join(MISSING)}")
    if args.images:
        refuse(args, ("missing", "n"), "it is for test images; --images says all; leave it out")
    task: Any = reopen(args.run)
    rng = np.random.default_rng(args.seed)
    if args.images:
        images = read_samples(Path(args.images), task.settings.model.image_shape)
        known = ~np.isnan(images).reshape(*images.shape[:3], -1).any(axis=-1)  # (N, H, W)
    else:
        _, test = read_data(run.config["data"], run.config["root"])
        images = rng.permutation(test.images)[: args.n]
        known = known_in(images, args.missing)
    seen = grey_out(images, known)
    filled = task.inpaint(seen, known, rng=rng)
    if Path(args.out).suffix == ".png":
        write_png(Path(args.out), grid(np.concatenate([seen, filled]), len(seen)))
    else:
        write_samples(Path(args.out), filled)
    print_line(args.out)


def do_eval(args: argparse.Namespace) -> None:
    run = Run(Path(args.run))
    need_pages(run.folder)
    config = run.config
    training, test = read_data(config["data"], config["root"])
    task = reopen(args.run, training)
    rows: list[dict[str, Any]] = []
    try:
        with stage("measuring"):
            rows = task.evaluate(config["data"], training, test)
        print_line(format_report(rows))
    except NoEvaluator as error:
        print_line(str(error))
    facts = {
        "task": config["task"],
        "data": Path(config["data"]).name,
        "seed": config["seed"],
    }
    page = section(task, run, training, test, rows, facts, Path())
    print_line(f"open {write_page(run.folder, page.title, [page])}")


def need_pages(folder: Path) -> None:
    """Raise RunError now if a page could not be written into a folder after the work."""
    for module in ("matplotlib", "PIL.Image"):
        need(module)
    check_writable(folder)


def do_demo(args: argparse.Namespace) -> None:
    """Train models on the embedded digits, one after the other, and write a page."""
    if args.all and args.only:
        raise RunError("--all: --only says which models there are to be; give one of them")
    usual = PARTS if args.all else [name for name, part in PARTS.items() if not part.long]
    names = list(dict.fromkeys(args.only or usual))
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise RunError(f"the demo has no {shown(unknown[0])}; there are {', '.join(PARTS)}")
    need_pages(Path(args.out))
    training, test = read_data("digits", None)
    folder, sections = Path(args.out), []
    seconds = sum(PARTS[name].seconds for name in names)
    print_line(f"{len(names)} models, {duration(seconds)} on two cores, less with fewer --steps")
    for number, name in enumerate(names, start=1):
        print_line(f"{number} of {len(names)}: {name}, {duration(PARTS[name].seconds)}")
        config, _ = new_run(name, "digits", None, 0, "digits", PARTS[name].changes, args.steps)
        begin = partial(build, config, training)
        part = demo.carry_out(name, config, begin, args.workers, folder, training, test)
        sections.append(part)
        page = write_page(folder, demo.TITLE, sections, demo.TEXT)  # also if stopped later
    print_line(f"open {page}")


def duration(seconds: int) -> str:
    """A time to wait, in words."""
    return f"about {seconds} s" if seconds < 100 else f"about {seconds / 60:.0f} minutes"


def do_compare(args: argparse.Namespace) -> None:
    """Compare what models are good for: carry out what is asked for, and write the page."""
    subject = SUBJECTS[args.subject]
    for option in ("labels", "missing"):
        if getattr(args, option) and option not in subject.uses:
            raise RunError(f"--{option}: compare {args.subject} makes no use of it; leave it out")
    names = list(dict.fromkeys(args.only or subject.names))
    for name in names:
        if name not in subject.names:
            known = ", ".join(subject.names)
            raise RunError(f"nothing that is compared is called {shown(name)}; there are {known}")
    for part in args.missing or ():
        if part not in MISSING:
            raise RunError(f"--missing {shown(part)}: one of {', '.join(MISSING)}")
    check_root(args)
    folder = Path(args.out or f"runs/compare-{folder_name(args.data)}")
    need_pages(folder)
    training, test = read_data(args.data, args.root)
    if kind_of(training) != "images" or training.labels is None:
        raise RunError(f"--data {args.data}: what is compared reads images with labels")
    classes, total = len(training.classes), len(training)
    counts = args.labels or subject.usual_labels(classes, total)
    for count in counts:
        if not classes <= count <= total:
            raise RunError(f"--labels {count}: at least {classes}, one of each class, to {total}")
    source = origin(args.data, args.root, 0)
    given = Comparison(
        source["data"],
        source["root"],
        training,
        test,
        names,
        args.seeds or subject.seeds,
        folder,
        sorted(set(counts)),
        list(dict.fromkeys(args.missing or USUALLY_MISSING)),
    )
    print_line(f"open {compare(args.subject, given)}")


# -------------------------------------------------------------------------------------- arguments


class Given(argparse.Action):
    """Keeps a value, once, and that it was given: in `namespace.given`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        given = namespace.__dict__.setdefault("given", set())
        if self.dest in given:
            parser.error(f"{option_string} is given twice")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


class HelpOfTask(argparse.Action):
    """The help of a command, and of the task that is named before it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        print(parser.format_help().rstrip())
        if namespace.task in TASKS:
            print(f"\n{described(namespace.task, TASKS[namespace.task])}")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and which guesses no word."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)
        self.register("action", None, Given)

    def parse_known_args(self, *args: Any, **settings: Any) -> tuple[Any, list[str]]:
        """Each command refuses what it does not know, and names its own help."""
        namespace, unknown = super().parse_known_args(*args, **settings)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{one_line(f'{self.prog}: {message}; see {self.prog} --help')}\n")


def one_line(message: str) -> str:
    """A message without line breaks; what is very long is left out of its middle."""
    text = " ".join(message.split())
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"


def words(given: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE, NAME=VALUE, ... as a mapping. Raises RunError for a name that comes twice."""
    pairs = [word.partition("=")[::2] for word in given]
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise RunError(f"--set {shown(name)} is given twice")
    return dict(pairs)


def assignment(text: str) -> str:
    """NAME=VALUE, as an argument's type."""
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not of the form NAME=VALUE")
    return text


def some_text(text: str) -> str:
    """A name or a path that is not empty, as an argument's type."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"{shown(text)} is empty, or no name")
    return text


def whole_number(text: str, least: int, most: int) -> int:
    """A whole number between limits, as an argument's type."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 20 or int(text) < least:
        what = text if len(text) <= 20 else shown(text)
        raise argparse.ArgumentTypeError(f"{what} is not a whole number from {least} on")
    if int(text) > most:
        raise argparse.ArgumentTypeError(f"{text} is too large; at most {most}")
    return int(text)


positive_int = partial(whole_number, least=1, most=10**9)
non_negative_int = partial(whole_number, least=0, most=10**19)
drawn = partial(whole_number, least=1, most=MOST)


def workers(text: str) -> int | str:
    """A number of processes, or auto."""
    return text if text == "auto" else whole_number(text, 1, MOST_WORKERS)


def add_workers(command: argparse.ArgumentParser, default: int) -> None:
    """Let a command have several processes."""
    message = f"processes that share each batch, or auto: cores that are free (default: {default})"
    command.add_argument("--workers", type=workers, default=default, metavar="N", help=message)


def add_set(command: argparse.ArgumentParser, message: str) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        type=assignment,
        metavar="NAME=VALUE",
        help=message,
    )


def add_root(command: argparse.ArgumentParser) -> None:
    message = f"where {' and '.join(ROOTED)} lie (default: $TINYGRAD_CV_DATA)"
    command.add_argument("--root", type=some_text, help=message)


def add_seed(command: argparse.ArgumentParser) -> None:
    message = "of all random numbers (default: 0)"
    command.add_argument("--seed", type=non_negative_int, default=0, metavar="N", help=message)


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="tinygrad-cv",
        description="Train, sample and evaluate models on small images and on text.",
    )
    top.add_argument("--version", action="version", version=f"tinygrad-cv {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    add_train(commands.add_parser("train", help="train a model into a run folder", add_help=False))
    add_sample(commands.add_parser("sample", help="draw images, or write text, from a run"))
    add_inpaint(commands.add_parser("inpaint", help="fill in missing pixels with a run"))
    add_eval(
        commands.add_parser("eval", help="measure a run beside floor and baselines, write its page")
    )
    add_demo(
        commands.add_parser("demo", help="train models on digits, some four minutes, as a page")
    )
    add_compare(
        commands.add_parser("compare", help="what generative models are good for, as a page")
    )
    return top


def add_train(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    command.epilog = "`train TASK --help` shows a task's presets and all its values."
    add("-h", "--help", action=HelpOfTask, nargs=0, help="show this, and what TASK can be set to")
    add("task", metavar="TASK", help=", ".join(TASKS))
    data_help = f"{', '.join(DATA)} (default: digits, or what the task makes itself)"
    add("--data", type=some_text, default="digits", help=data_help)
    add_root(command)
    add("--preset", type=some_text, help="the settings to start from: tiny, digits, mnist, text")
    add_set(command, "change a setting: model.NAME, training.NAME or data.NAME")
    add("--steps", type=positive_int, help="short for --set training.steps=N", metavar="N")
    add_seed(command)
    start = "begin with the weights of a run of the same task (fine-tuning)"
    add("--start", type=some_text, metavar="RUN", help=start)
    add("--out", type=some_text, help="the run folder (default: runs/TASK-DATA-SEED)")
    saved = "steps between two checkpoints (default: 500)"
    add("--save-every", type=positive_int, default=500, metavar="STEPS", help=saved)
    add_workers(command, default=1)
    add("--resume", action="store_true", help="go on with the run in the folder")
    command.set_defaults(do=do_train)


def add_sample(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("run", type=some_text, metavar="RUN", help="a run folder")
    add("--n", type=drawn, default=64, metavar="N", help="images, characters or lines (64)")
    add_seed(command)
    add_set(command, "an option of this model's sampling; `train TASK --help` names them")
    add("--out", type=some_text, help="FILE.png or FILE.npz for images, FILE.txt for text")
    command.set_defaults(do=do_sample)


def add_inpaint(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "run",
        type=some_text,
        metavar="RUN",
        help="the folder of a run of ddpm, gmm, pixel-rnn or vae",
    )
    missing = f"of test images: {', '.join(MISSING)} (default: lower)"
    add("--missing", default="lower", metavar="PART", help=missing)
    add("--n", type=drawn, default=8, metavar="N", help="test images (default: 8)")
    mine = "others than those: `images` in [0, 1], NaN where missing"
    add("--images", type=some_text, metavar="FILE.npz", help=mine)
    add_seed(command)
    out = "FILE.png, what was left above what was filled in, or FILE.npz"
    add("--out", type=some_text, required=True, help=out)
    command.set_defaults(do=do_inpaint)


def add_eval(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", type=some_text, metavar="RUN", help="a run folder")
    command.set_defaults(do=do_eval)


def add_demo(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--out", type=some_text, default="runs/demo", help="a folder (default: runs/demo)")
    add("--only", action="append", metavar="NAME", help=", ".join(PARTS))
    long = ", ".join(name for name, part in PARTS.items() if part.long)
    add("--all", action="store_true", help=f"also what takes minutes: {long}")
    steps = "of each model (default: what suits it)"
    add("--steps", type=positive_int, metavar="N", help=steps)
    add_workers(command, default=min(2, parallel.cores()))
    command.set_defaults(do=do_demo)


def add_compare(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    command.epilog = "; ".join(
        f"{name}: {', '.join(subject.names)}" for name, subject in SUBJECTS.items()
    )
    add("subject", type=subject, nargs="?", default="labels", metavar="SUBJECT", help=SUBJECTS_HELP)
    add("--data", type=some_text, default="digits", help="images with labels (default: digits)")
    add_root(command)
    add("--only", action="append", metavar="NAME", help="of what SUBJECT compares, see below")
    labels = "how many, as often as you like (default: labels from 10 to all, augmentation 100)"
    add("--labels", action="append", type=positive_int, metavar="N", help=labels)
    parts = f"{', '.join(MISSING)}, as often as you like (default: {', '.join(USUALLY_MISSING)})"
    add("--missing", action="append", metavar="PART", help=parts)
    seeds = partial(whole_number, least=1, most=100)
    how_often = "draws of images, or trainings (default: labels 5, others 3)"
    add("--seeds", type=seeds, metavar="N", help=how_often)
    add("--out", type=some_text, help="a folder (default: runs/compare-DATA)")
    command.set_defaults(do=do_compare)


def subject(text: str) -> str:
    """What is compared, as an argument's type."""
    if text not in SUBJECTS:
        raise argparse.ArgumentTypeError(f"{shown(text)} is none of {', '.join(SUBJECTS)}")
    return text


# ------------------------------------------------------------------------------------------- main


def main(argv: Sequence[str] | None = None) -> int:
    if hasattr(sys.stdout, "reconfigure"):  # not if something else stands in its place
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return carry_out(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # who reads, as in `| head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def carry_out(argv: Sequence[str] | None) -> int:
    """Carry out a command; the exit code."""
    args = parser().parse_args(argv)
    try:
        with no_more_than_free(), few_blas_threads(), told_to_end(), watched(), stage("working"):
            args.do(args)
    except BrokenPipeError:
        raise
    except MemoryError as error:
        return failed(f"this does not fit into memory: {error}; take smaller sizes or batches")
    except (RunError, parallel.RankError, ValueError, OSError) as error:
        return failed(str(error))
    except KeyboardInterrupt as error:
        print("tinygrad-cv: stopped", file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
    return 0


def failed(message: str) -> int:
    """Say on one line what went wrong; the exit code."""
    for words, instead in ADVICE.items():
        message = message.replace(words, instead)
    print(one_line(f"tinygrad-cv: {message}"), file=sys.stderr)
    return 2
