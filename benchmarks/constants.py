"""What a large constant costs: `python -m benchmarks.constants`.

Full-batch logistic regression on 60,000 random images of 784 pixels: one constant of 190 MB in one product. A record may
neither copy nor hash it at each step. Value and gradient are taken with a transform, with the tensor API, by hand, and
with PyTorch if it is there; in turns, so that what slows the machine down slows all of them. All have one thread.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from statistics import median
from time import perf_counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import tinygrad_cv as tg
from models.lab.progress import progress_bar
from tinygrad_cv import kernels

IMAGES, PIXELS, CLASSES = 60_000, 784, 10
TURNS, STEPS = 8, 3
SEED = 0
Step = Callable[[], np.ndarray]  # gives the gradient


def steps(rng: np.random.Generator) -> dict[str, Step]:
    """The ways to the gradient by name."""
    images = rng.standard_normal((IMAGES, PIXELS), np.float32)
    labels = rng.integers(0, CLASSES, IMAGES)
    weight = 0.01 * rng.standard_normal((PIXELS, CLASSES), np.float32)
    transformed = tg.value_and_grad(lambda w: kernels.cross_entropy(images @ w, labels))

    def transform() -> np.ndarray:
        gradient: np.ndarray = transformed(weight)[1]
        return gradient

    def tensors() -> np.ndarray:
        w = tg.Tensor(weight, requires_grad=True)
        kernels.cross_entropy(images @ w, labels).backward()
        gradient: np.ndarray = w.grad
        return gradient

    rows = np.arange(IMAGES)

    def by_hand() -> np.ndarray:
        scores = images @ weight
        scores -= scores.max(axis=1, keepdims=True)
        correct = scores[rows, labels]
        np.exp(scores, out=scores)
        sums = scores.sum(axis=1, keepdims=True)
        np.mean(np.log(sums[:, 0]) - correct)
        scores /= sums * IMAGES
        scores[rows, labels] -= np.float32(1 / IMAGES)
        gradient: np.ndarray = images.T @ scores
        return gradient

    found: dict[str, Step] = {"by hand": by_hand, "value_and_grad": transform, "tensors": tensors}
    if importlib.util.find_spec("torch") is not None:
        found["torch eager"] = with_torch(images, labels, weight)
    return found


def with_torch(images: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> Step:
    """The same in PyTorch."""
    import torch

    torch.set_num_threads(1)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)

    def step() -> np.ndarray:
        w = torch.from_numpy(weight).clone().requires_grad_()
        torch.nn.functional.cross_entropy(x @ w, y).backward()
        gradient: np.ndarray = w.grad.numpy()
        return gradient

    return step


def main() -> None:
    ways = steps(np.random.default_rng(SEED))
    expected = ways["by hand"]()
    for name, step in ways.items():
        np.testing.assert_allclose(step(), expected, rtol=1e-3, atol=1e-6, err_msg=name)
    times: dict[str, list[float]] = {name: [] for name in ways}
    with progress_bar(TURNS, "turns", passing=True) as bar:
        for _ in range(TURNS):
            for name, step in ways.items():
                for _ in range(STEPS):
                    started = perf_counter()
                    step()
                    times[name].append(perf_counter() - started)
            bar.update()
    limit = median(times["by hand"])
    for name, taken in times.items():
        print(f"{name:15} {1e3 * median(taken):6.1f} ms   {median(taken) / limit:.2f} x by hand")


if __name__ == "__main__":
    main()
