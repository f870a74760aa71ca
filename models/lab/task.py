"""What can be trained: a task holds a model, its optimisers and its batches, and carries out one step at a time.

Two kinds of task are shared by several models: those that draw pictures, and those that classify them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from math import inf, isfinite
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_type_hints

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import data, kernels, nn, parallel
from tinygrad_cv.data.state import jsonable

from ..classical.gmm import BASELINES
from .evaluation.generation import Evaluator, flatten, kernel_ridge_regression, nearest, report
from .learner import Descent
from .report.images import grid, write_png
from .train import RunError, progress_bar

SAMPLES = 5000  # of a generator are measured, or as many as there are test pictures
BASELINE_PICTURES = 5000  # the kernel regression beside a classifier sees at most so many

# Fields of a configuration whose numbers have other limits than `checked` takes for granted.
Natural = Annotated[int, 0, inf]
Share = Annotated[float, 0, 1]


class Task:
    """A configuration, named parts with a state_dict, a generator of random numbers, batches, and a step.

    Every rank of a team (`tinygrad_cv.parallel`) has the same generator and batches, and takes its share in `step`.
    Without `training`, data to train on, a task can be restored and used but not trained.
    """

    title: ClassVar[str]
    presets: ClassVar[Mapping[str, Any]]
    reads: ClassVar[str] = "pictures"  # or "text", "nothing"
    options: ClassVar[Mapping[str, Any]] = {}  # of `sample`, with their usual values
    figures: ClassVar[Mapping[str, tuple[str, ...]]]  # of the log, to be drawn together
    meaning: ClassVar[str]  # of the columns of `evaluate`

    config: Any
    rng: np.random.Generator
    batches: Any = None
    parts: dict[str, Any]

    def __init__(self, config: Any, training: Any, *, rng: np.random.Generator) -> None:
        raise NotImplementedError

    def step(self, step: int) -> dict[str, float]:
        """One update; what the log shows of it."""
        raise NotImplementedError

    def sample(self, *args: Any, **options: Any) -> Any:
        """`sample(n, rng=rng)`: n pictures in [0, 1], (n, H, W) or (n, H, W, C), or a text of n characters."""
        raise RunError(f"{self.title}: this model draws nothing; `eval` shows what it has learned")

    def sampling(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Options of `sample` that were given as text."""
        unknown = [key for key in given if key not in self.options]
        if unknown:
            known = ", ".join(self.options) or "none"
            raise ValueError(f"{self.title}: sampling has no option {unknown[0]!r}; there are {known}")
        return {key: parse(key, text, self.options[key]) for key, text in given.items()}

    def start_from(self, other: Any) -> None:
        """Begin with the weights of another task."""
        raise RunError(f"{self.title}: this model cannot be fine-tuned; train it from its own start")

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        """Rows of figures: this model's, then those of floor and baselines on the data set of that name."""
        raise NotImplementedError

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        """Write pictures into a folder; their names and what they show."""
        raise NotImplementedError


def configure(presets: Mapping[str, Any], name: str, training: Any, changes: Mapping[str, str]) -> Any:
    """A preset with changes, which are text, for a data set: its pictures' shape and classes, or its characters."""
    if name not in presets:
        raise ValueError(f"no preset is called {name!r}; there are {', '.join(presets)}")
    preset = presets[name]
    known = {field.name: getattr(preset, field.name) for field in fields(preset)}
    unknown = [key for key in changes if key not in known]
    if unknown:
        raise ValueError(f"{type(preset).__name__} has no {unknown[0]!r}; there are {', '.join(known)}")
    given: dict[str, Any] = {}
    if isinstance(training, data.Text):
        given = {"vocabulary": training.vocabulary}
    elif training is not None:
        given = {"shape": training.images.shape[1:], "classes": len(training.classes)}
    given = {key: value for key, value in given.items() if key in known}
    config = replace(preset, **(given | {key: parse(key, text, known[key]) for key, text in changes.items()}))
    if "shape" in given and config.shape != given["shape"]:
        raise ValueError(f"shape={config.shape}: the pictures of {training.name} are {given['shape']}")
    if 0 < getattr(config, "classes", 0) < given.get("classes", 0):
        raise ValueError(f"classes={config.classes}: {training.name} has {given['classes']}")
    return checked(config, preset)


def checked(config: Any, like: Any) -> Any:
    """A configuration whose values have the types of another's, and whose numbers lie where they make sense.

    Whole numbers are at least 1, others at least 0, unless the field is annotated: `Natural`, `Share`.
    """
    hints = get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        value, usual = getattr(config, field.name), getattr(like, field.name)
        if type(value) is not type(usual):
            raise ValueError(f"{field.name}={value!r}: a value like {usual!r} is expected")
        numbers = [n for n in (value if isinstance(value, tuple) else [value]) if type(n) in (int, float)]
        for number in numbers:
            usually = (1, inf) if type(number) is int else (0, inf)
            low, high = getattr(hints[field.name], "__metadata__", usually)
            if not (low <= number <= high and isfinite(number)):
                limits = f"between {low} and {high}" if isfinite(high) else f"finite and at least {low}"
                raise ValueError(f"{field.name}={value}: must be {limits}")
    return config


def parse(name: str, text: str, like: Any) -> Any:
    """A value written as text, of the type of another value."""
    if isinstance(like, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None
    value = float(value) if isinstance(like, float) and isinstance(value, int) else value
    if type(value) is not type(like):
        raise ValueError(f"{name}={text}: a value like {like!r} is expected")
    return value


def restored(presets: Mapping[str, Any], stored: Mapping[str, Any]) -> Any:
    """The configuration that `asdict` turned into JSON."""
    like = next(iter(presets.values()))
    known = {field.name for field in fields(like)}
    if known != stored.keys():
        odd = ", ".join(sorted(known ^ stored.keys()))
        raise ValueError(f"a stored {type(like).__name__} has the fields {', '.join(sorted(known))}; here differ: {odd}")
    return checked(type(like)(**{name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}), like)


def stored(config: Any) -> dict[str, Any]:
    """A configuration as JSON gives it back."""
    return jsonable(asdict(config))


def in_batches(images: Any, size: int = 500) -> Iterator[Any]:
    return (images[start : start + size] for start in range(0, len(images), size))


# --------------------------------------------------------------------------------------------------- drawing pictures


class PictureGenerator(Task):
    """A task whose model draws pictures."""

    meaning = (
        "FD: Fréchet distance of the features of a frozen classifier (less is better). IS: its inception score. 1-NN: "
        "accuracy of telling real from generated by the nearest neighbour (.5 is perfect), and its two halves. TV: total "
        "variation of the classes. TSTR: accuracy on real pictures of a kernel regression trained on generated ones. NDB: "
        "bins, of 50, that are filled differently from the training set. nearest train: median distance to the nearest "
        "training picture; near copies: the share that is nearer to one than 99 % of the test pictures. “real” is the "
        "floor: real pictures against real ones."
    )

    def measured(self, n: int, training: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """The n pictures that are measured, with their classes if the model was told them."""
        return self.sample(n, rng=np.random.default_rng(1)), None

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        evaluator = Evaluator.load(name)
        samples, classes = self.measured(min(len(test.images), SAMPLES), training)
        with progress_bar(len(BASELINES), "measuring", passing=True) as bar:
            return report(
                samples, training.images, test.images, evaluator, baselines=BASELINES, rng=np.random.default_rng(2),
                train_labels=training.labels, test_labels=test.labels, sample_labels=classes, watch=bar.update,
            )  # fmt: skip

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        samples = self.sample(100, rng=np.random.default_rng(4))
        real = np.random.default_rng(5).permutation(test.images)[:100]
        copied = training.images[nearest(flatten(samples[:10]), flatten(training.images))]
        for name, images in (("samples", samples), ("real", real), ("nearest", np.concatenate([samples[:10], copied]))):
            write_png(folder / f"{name}.png", grid(images, 10))
        return [
            ("samples.png", "Drawn by the model"),
            ("nearest.png", "Ten that were drawn, and under each the training picture that is nearest to it"),
            ("real.png", f"Real pictures: {test.name}"),
        ]


# ----------------------------------------------------------------------------------------------- classifying pictures


class PictureClassifier(Task):
    """A task whose model gives class logits (N, classes) to pictures (N, H, W[, C]).

    Pictures are shifted, flipped and mixed, and labels smoothed, as far as the configuration says.
    """

    figures: ClassVar = {"loss": ("loss",), "accuracy": ("accuracy on the batch",)}
    meaning = (
        "accuracy: share of the test pictures given their class. cross-entropy: mean of -log p(class), in nats. Baselines: "
        "the class of the nearest training picture, and kernel ridge regression on at most 5,000 of them."
    )

    def __init__(self, model: nn.Module, config: Any, training: Any, *, rng: np.random.Generator) -> None:
        self.model, self.config, self.rng = model, config, rng
        self.descent = Descent(model, config, lowest=0.01)
        self.parts = self.descent.parts
        if training is not None:
            if training.labels is None:
                raise ValueError(f"{training.name} has no labels to learn from; a {self.title} needs classified pictures")
            pairs = (training.images, training.labels)
            self.batches = data.batches(pairs, min(config.batch, len(training.images)), rng=rng)

    def step(self, step: int) -> dict[str, float]:
        config, (images, labels) = self.config, next(self.batches)
        images = data.shift(images, config.shift, rng=self.rng) if config.shift else images
        images = data.flip(images, rng=self.rng) if config.flip else images
        others, share = labels, 1.0
        if config.mixup:
            images, others, share = data.mixup(images, labels, config.mixup, rng=self.rng)
        images, labels, others = map(parallel.team().shard, (images, labels, others))
        logits = self.model(tg.Tensor(images))
        loss = share * kernels.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        if share < 1:
            loss = loss + (1 - share) * kernels.cross_entropy(logits, others, label_smoothing=config.label_smoothing)
        self.descent.step(loss, step)
        said = logits.numpy().argmax(axis=1)
        correct = share * np.mean(said == labels) + (1 - share) * np.mean(said == others)
        return {"loss": loss.item(), "accuracy on the batch": float(correct)}

    def log_probabilities(self, images: np.ndarray) -> np.ndarray:
        """log p(class | picture), (N, classes), by the averaged weights."""
        with self.descent.averaged() as model:
            found = [kernels.log_softmax(model(tg.Tensor(some))).numpy() for some in in_batches(images)]
        return np.concatenate(found)

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        logp = self.log_probabilities(test.images)
        own = {
            "name": self.title,
            "accuracy": float(np.mean(logp.argmax(axis=1) == test.labels)),
            "cross-entropy": -float(np.mean(np.take_along_axis(logp, test.labels[:, None], axis=1))),
        }
        x, y = flatten(training.images), flatten(test.images)
        some = np.random.default_rng(0).permutation(len(x))[:BASELINE_PICTURES]
        regression = kernel_ridge_regression(training.images[some], training.labels[some], len(training.classes))
        baselines = {
            "nearest neighbour": training.labels[nearest(y, x)],
            "kernel regression": regression(test.images),
        }
        return [own, *({"name": n, "accuracy": float(np.mean(p == test.labels))} for n, p in baselines.items())]

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        logp = self.log_probabilities(test.images)
        label = np.take_along_axis(logp, test.labels[:, None], axis=1)[:, 0]
        hardest = np.argsort(label)[:20]
        write_png(folder / "hardest.png", grid(test.images[hardest], 10))
        wrong = [f"{test.labels[i]} as {logp[i].argmax()}" for i in hardest if logp[i].argmax() != test.labels[i]]
        told = f"read wrongly are {', '.join(wrong)}" if 0 < len(wrong) < len(hardest) else f"{len(wrong)} are read wrongly"
        return [("hardest.png", f"The test pictures whose class got the least probability: {told}")]

