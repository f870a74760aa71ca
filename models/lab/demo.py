"""What the demo trains, and the section of a page that tells of a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tinygrad_cv import parallel

from .report.images import grid, write_png
from .report.page import Section, curves
from .task import PictureGenerator, Task
from .train import Run, train

TITLE = "Models that learned from 1,200 scanned digits"
TEXT = (
    "Each of these networks was trained on this machine, from random weights, on 1,200 scans of handwritten digits, 8 x 8 "
    "pixels each. The tables measure them against 597 others, beside what simpler methods reach."
)
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1)  # of the training, when a generator shows what it can


@dataclass(frozen=True)
class Part:
    """A model of the demo: what is said of it, and how its configuration differs from the preset."""

    text: str
    changes: dict[str, str] = field(default_factory=dict)


PARTS = {
    "gan": Part(
        "A generator turns noise into digits; a discriminator learns to tell them from real scans, and the generator "
        "learns from its verdicts.",
        {"steps": "4000"},
    ),
    "ddpm": Part(
        "A network learns to tell the noise in a noisy digit. Applied again and again it turns noise into a digit, of a "
        "class if one is asked for, and it fills in missing pixels.",
        {"steps": "1500", "base": "16", "batch": "64"},
    ),
    "vit": Part(
        "A transformer reads a digit as a sequence of 16 patches; its attention shows which of them told it the class.",
        {"steps": "3000"},
    ),
    "row-rnn": Part(
        "A recurrent network reads a digit row by row, downwards and upwards, and says what it was.",
        {"steps": "1500"},
    ),
    "pixel-rnn": Part(
        "A recurrent network draws a digit pixel by pixel, each from the probabilities that the pixels before leave it.",
    ),
    "strip": Part(
        "A small convolutional network looks at a strip of digits, a recurrent one goes through what it saw from both "
        "sides, another one writes down what stands there. Nobody says where a digit begins: attention finds it.",
        {"steps": "800", "size": "64", "longest": "8", "rate": "0.004", "average": "0.98", "architecture": "multiplicative"},
    ),
    "detr": Part(
        "Finding digits: a transformer looks at a scene, and each of its queries says what it has found and where, or that "
        "there is nothing more to be found.",
        {"canvas": "32", "smallest": "24", "digits": "3", "queries": "6", "batch": "8", "steps": "5000"},
    ),
}


def carry_out(
    name: str, settings: dict[str, Any], build: Callable[[], Task], workers: int | Literal["auto"], folder: Path,
    training: Any, test: Any,
) -> Section:  # fmt: skip
    """Train one part, or go on with it, and describe it."""
    start, run, steps = time.monotonic(), Run(folder / name), settings["config"]["steps"]
    begun = (run.folder / "config.json").is_file() and run.config == settings
    moments = {max(1, int(steps * share)) for share in SHARES}

    def watch(step: int) -> None:
        if step in moments and isinstance(task, PictureGenerator):
            np.save(run.folder / f"strip-{step:06}.npy", task.sample(16, rng=np.random.default_rng(3)))

    with parallel.workers(workers):
        task = build()
        if not begun:
            run.create(settings)
        train(task, run, steps, log_every=max(1, steps // 200), save_every=max(1, steps // 4), watch=watch)
    seconds = round(time.monotonic() - start)
    facts = {"seed": 0, "steps": steps, "seconds": seconds, "command": f"python -m models demo --only {name}"}
    rows = task.evaluate("digits", training, test)
    return section(task, run, training, test, rows, facts, Path(name))


def section(
    task: Task, run: Run, training: Any, test: Any, rows: list[dict[str, Any]], facts: dict[str, Any], where: Path
) -> Section:
    """A run's pictures, written into its folder, its curves and its figures; `where` leads from the page to the folder."""
    pictures = task.show(run.folder, training, test)
    frames = sorted(run.folder.glob("strip-*.npy"))
    if frames:
        strip = [np.load(frame) for frame in frames]
        write_png(run.folder / "strip.png", grid(np.concatenate(strip), len(strip[0])))
        steps = ", ".join(frame.stem.partition("-")[2].lstrip("0") for frame in frames)
        pictures.append(("strip.png", f"The same noise at steps {steps}, top to bottom"))
    drawn = []
    for name, lines in task.figures.items():
        curves(run.log, lines, run.folder / f"{name}.png")
        drawn.append((f"{name}.png", name.capitalize()))
    name = run.config["model"]
    return Section(
        title=task.title,
        text=PARTS[name].text if name in PARTS else "",
        facts=facts,
        pictures=[(str(where / file), caption) for file, caption in pictures],
        curves=[(str(where / file), caption) for file, caption in drawn],
        rows=rows,
        meaning=task.meaning if rows else "",
    )
