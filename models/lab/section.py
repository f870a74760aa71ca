"""The section of a page that describes a run, and the demo's description of each model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .progress import stage
from .report.images import grid, write_png
from .report.page import Section
from .report.plots import curves
from .run import Run
from .task import Task

LONG = 100  # seconds


@dataclass(frozen=True)
class Part:
    """A model of the demo: its description, how its settings differ from the preset, its time.

    `seconds` are those of training and page on two cores. A long part comes if it is asked for.
    """

    text: str
    changes: dict[str, str] = field(default_factory=dict)
    seconds: int = 2

    @property
    def long(self) -> bool:
        """Whether it takes minutes."""
        return self.seconds > LONG


PARTS = {
    "logistic-regression": Part(
        "The simplest classifier that learns: each pixel speaks for some digits and against "
        "others, and the sums decide. Its best weights are found in a few steps.",
    ),
    "svm": Part(
        "Between each two digits lies the boundary that keeps the widest margin from both. Only "
        "the examples at its edge, the support vectors, have a say in where it lies.",
    ),
    "gan": Part(
        "A generator turns noise into digits; a discriminator learns to tell them from real scans, "
        "and the generator learns from its verdicts.",
        {"training.steps": "4000"},
        seconds=18,
    ),
    "cgan": Part(
        "The same game with classes: the generator is told which digit to draw, and the "
        "discriminator asks of each image whether it is a real one of its class.",
        {"training.steps": "3000"},
        seconds=28,
    ),
    "ddpm": Part(
        "A network learns to tell the noise in a noisy digit. Applied again and again it turns "
        "noise into a digit, of a class if one is asked for, and it fills in missing pixels.",
        {"training.steps": "1500", "model.unet.base_channels": "16"},
        seconds=60,
    ),
    "vit": Part(
        "A transformer reads a digit as a sequence of 16 patches; its attention shows which of "
        "them revealed the class.",
        {"training.steps": "3000"},
        seconds=60,
    ),
    "row-rnn": Part(
        "A recurrent network reads a digit row by row, downwards and upwards, and says what it is.",
        {"training.steps": "1500"},
        seconds=14,
    ),
    "pixel-rnn": Part(
        "A recurrent network draws a digit pixel by pixel, each from the probabilities that the "
        "pixels before leave it.",
        seconds=16,
    ),
    "vae": Part(
        "An encoder writes a digit down as a few numbers, a decoder draws it again from these; "
        "from random numbers it draws new ones.",
        seconds=11,
    ),
    "gmm": Part(
        "Two Gaussians for each class, fitted by expectation maximisation. A model that draws also "
        "classifies, by Bayes' theorem, and it fills in missing pixels by their conditional "
        "distribution.",
    ),
    "hmm": Part(
        "A hidden Markov model of each class reads a digit row by row: its states are the kinds of "
        "rows that the class has, and Baum-Welch finds them.",
    ),
    "strip": Part(
        "A small convolutional network looks at a strip of digits, a recurrent one reads its "
        "features from both sides, another one writes down the digits. Nobody says where a digit "
        "begins: attention finds it.",
        {
            "model.architecture": "multiplicative",
            "model.recurrent.hidden_size": "64",
            "training.steps": "800",
            "training.lr": "0.004",
            "training.ema_decay": "0.98",
            "data.longest": "8",
        },
        seconds=32,
    ),
    "detr": Part(
        "Finding digits: a transformer looks at a scene, and each of its queries says which digit "
        "is where, or that there are no more.",
        {
            "data.canvas": "32",
            "data.smallest": "24",
            "data.digits": "3",
            "model.num_queries": "6",
            "training.batch_size": "8",
            "training.steps": "5000",
        },
        seconds=170,
    ),
}


@stage("drawing the page")
def section(
    task: Task,
    run: Run,
    training: Any,
    test: Any,
    rows: list[dict[str, Any]],
    facts: dict[str, Any],
    where: Path,
) -> Section:
    """A run's images, written into its folder, its curves and its metrics.

    `where` leads from the page to the folder.
    """
    images = task.show(run.folder, training, test)
    frames = sorted(run.folder.glob("strip-*.npy"))
    if frames:
        strip = [np.load(frame) for frame in frames]
        write_png(run.folder / "strip.png", grid(np.concatenate(strip), len(strip[0])))
        steps = ", ".join(frame.stem.partition("-")[2].lstrip("0") for frame in frames)
        images.append(("strip.png", f"The same noise at steps {steps}, top to bottom"))
    drawn = []
    for name, lines in task.plots.items():
        curves(run.log, lines, run.folder / f"{name}.png")
        drawn.append((f"{name}.png", name.capitalize()))
    name = run.config["task"]
    return Section(
        title=task.title,
        text=PARTS[name].text if name in PARTS else "",
        facts=facts,
        images=[(str(where / file), caption) for file, caption in images],
        curves=[(str(where / file), caption) for file, caption in drawn],
        rows=rows,
        metrics_help=task.metrics_help if rows else "",
    )
