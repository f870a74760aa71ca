"""Denoising diffusion probabilistic models (Ho, Jain & Abbeel 2020, arXiv 2006.11239).

    q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I)                         forward: noise is added  (equation 4)
    q(x_(t-1) | x_t, x_0) = N(mu_tilde(x_t, x_0), beta_tilde_t I)                        the posterior            (equations 6, 7)
    L = E |epsilon - epsilon_theta(sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) epsilon, t)|^2                   (equation 14)

A network learns to tell the noise in a noisy picture; step by step it then turns noise into a picture (algorithm 2), or
in fewer steps by DDIM (Song et al. 2021, arXiv 2010.02502, equation 12). Besides: the cosine schedule (Nichol & Dhariwal
2021, arXiv 2102.09672, equation 17), prediction of x_0 or of v = sqrt(alpha_bar) epsilon - sqrt(1 - alpha_bar) x_0 (Salimans
& Ho 2022), classes with classifier-free guidance (Ho & Salimans 2022), and inpainting: missing pixels are drawn, the known
ones put back at each step with the noise of that step (Lugmayr et al. 2022, without resampling).

Times are t = 1 ... T as in the paper; `alpha_bar[0]` = 1 is the picture itself. Deviations, on purpose: the loss compares
unweighted in whatever the network predicts; a predicted x_0 is clipped to [-1, 1] when sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from tinygrad_cv import data, kernels, parallel

from ..lab.evaluation.generation import Evaluator, evaluate
from ..lab.learner import Descent
from ..lab.report.images import grid, write_png
from ..lab.task import SAMPLES, Natural, PictureGenerator, Share
from ..lab.train import progress_bar
from .unet import UNet, UNetConfig

Array = np.ndarray
Network = Callable[[Array, Array], Array]  # (x_t, t) -> prediction
PREDICTIONS = ("epsilon", "x0", "v")
MISSING = ("lower", "upper", "left", "right", "middle")  # half of a picture, or half its height and width


@dataclass(frozen=True)
class DDPMConfig:
    """What makes a diffusion model: the diffusion, the UNet, optimisation."""

    shape: tuple[int, ...] = (8, 8)  # of a picture: (H, W) or (H, W, C)
    classes: Natural = 10  # told to the network in training; 0 for a model without
    schedule: str = "cosine"  # or linear
    times: int = 1000  # T
    prediction: str = "v"  # or epsilon, x0
    base: int = 24
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    attention: Annotated[tuple[int, ...], 0, inf] = (1,)
    heads: int = 4
    dropout: Share = 0.1
    unlabelled: Share = 0.3  # share of the training pictures whose class is not told
    steps: int = 5000
    batch: int = 64
    rate: float = 2e-3
    warm_up: Natural = 200
    average: Share = 0.998  # decay of the moving average of the weights


PRESETS = {
    "tiny": DDPMConfig(times=20, base=8, heads=2, steps=200, batch=8, warm_up=10),
    "digits": DDPMConfig(),
    "mnist": DDPMConfig(
        (28, 28), base=16, multipliers=(1, 2, 4), attention=(2,), dropout=0.0, steps=6000, rate=1e-3,
        average=0.999,
    ),
}  # fmt: skip


def betas(schedule: str, times: int) -> Array:
    """The variances beta_1 ... beta_T, float64 (T,).

    "linear": from 1e-4 to .02 at T = 1000, scaled by 1000 / T for others (Ho et al. 2020, section 4). "cosine": such that
    alpha_bar_t = cos^2((t / T + s) / (1 + s) pi / 2) up to a factor, s = .008, each at most .999.
    """
    if schedule == "linear":
        return np.asarray(np.clip(np.linspace(1e-4, 0.02, times) * 1000 / times, 0, 0.999))
    if schedule == "cosine":
        angle = (np.arange(times + 1) / times + 0.008) / 1.008 * np.pi / 2
        return np.asarray(1 - np.cos(angle[1:]) ** 2 / np.cos(angle[:-1]) ** 2).clip(0, 0.999)
    raise ValueError(f"no schedule is called {schedule!r}; there are linear, cosine")


class Diffusion:
    """The process without the network: adding noise, and the arithmetic of taking it away.

    `beta`, `alpha_bar` (T + 1,) are float64, indexed by t = 0 ... T. Pictures (B, ...) are in [-1, 1], times (B,).
    """

    def __init__(self, schedule: str, times: int, prediction: str = "epsilon") -> None:
        if prediction not in PREDICTIONS:
            raise ValueError(f"a network predicts one of {', '.join(PREDICTIONS)}, not {prediction!r}")
        self.times, self.prediction = times, prediction
        self.beta = np.concatenate([[0.0], betas(schedule, times)])
        self.alpha_bar = np.cumprod(1 - self.beta)

    def scales(self, t: Array, like: Array) -> tuple[Array, Array]:
        """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t) in a shape that meets the pictures."""
        alpha_bar = self.alpha_bar[t].reshape(-1, *[1] * (like.ndim - 1))
        return np.sqrt(alpha_bar).astype(like.dtype), np.sqrt(1 - alpha_bar).astype(like.dtype)

    def q_sample(self, x0: Array, t: Array, noise: Array) -> Array:
        """x_t from x_0 and standard normal noise, in one go (equation 4)."""
        signal, sigma = self.scales(t, x0)
        return np.asarray(signal * x0 + sigma * noise)

    def target(self, x0: Array, t: Array, noise: Array) -> Array:
        """What the network is to predict from x_t."""
        signal, sigma = self.scales(t, x0)
        return np.asarray({"epsilon": noise, "x0": x0, "v": signal * noise - sigma * x0}[self.prediction])

    def x0_and_epsilon(self, x: Array, t: Array, predicted: Array) -> tuple[Array, Array]:
        """The picture and the noise in x_t that a prediction stands for, the picture clipped to [-1, 1]."""
        signal, sigma = self.scales(t, x)
        x0 = {
            "epsilon": lambda: (x - sigma * predicted) / signal,
            "x0": lambda: predicted,
            "v": lambda: signal * x - sigma * predicted,
        }[self.prediction]()
        x0 = np.clip(x0, -1, 1)
        return x0, (x - signal * x0) / sigma

    def posterior(self, x0: Array, x: Array, t: int) -> tuple[Array, float]:
        """Mean and variance of q(x_(t-1) | x_t, x_0) (equations 6 and 7)."""
        before, now, beta = self.alpha_bar[t - 1], self.alpha_bar[t], self.beta[t]
        mean = float(np.sqrt(before) * beta / (1 - now)) * x0 + float(np.sqrt(1 - beta) * (1 - before) / (1 - now)) * x
        return mean, float((1 - before) / (1 - now) * beta)

    def ancestral_step(self, network: Network, x: Array, t: int, *, rng: np.random.Generator) -> tuple[Array, Array]:
        """A line of algorithm 2: x_(t-1) from x_t, and the x_0 that was predicted."""
        times = np.full(len(x), t)
        x0, _ = self.x0_and_epsilon(x, times, network(x, times))
        mean, variance = self.posterior(x0, x, t)
        return mean + float(np.sqrt(variance)) * rng.standard_normal(x.shape, dtype=np.float32), x0

    def ddim_step(
        self, network: Network, x: Array, t: int, s: int, eta: float, *, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """x_s from x_t, s < t (Song et al. 2021, equation 12), and the x_0 that was predicted.

        eta = 0 is deterministic; eta = 1 and s = t - 1 is the ancestral step.
        """
        times = np.full(len(x), t)
        x0, epsilon = self.x0_and_epsilon(x, times, network(x, times))
        before, now = self.alpha_bar[s], self.alpha_bar[t]
        sigma = eta * np.sqrt((1 - before) / (1 - now) * (1 - now / before))  # equation 16
        x = float(np.sqrt(before)) * x0 + float(np.sqrt(max(0.0, 1 - before - sigma**2))) * epsilon
        return x + float(sigma) * rng.standard_normal(x.shape, dtype=np.float32), x0


class DDPM(PictureGenerator):
    """A UNet that learns to tell noise from picture, and the drawing of pictures with it."""

    presets = PRESETS
    title = "DDPM"
    figures: ClassVar = {"loss": ("loss",)}
    options: ClassVar = {"label": -1, "guidance": 1.0, "sampling_steps": 50, "eta": 1.0}

    def __init__(self, config: DDPMConfig, training: Any, *, rng: np.random.Generator) -> None:
        self.config, self.rng = config, rng
        self.diffusion = Diffusion(config.schedule, config.times, config.prediction)
        channels = config.shape[2] if len(config.shape) == 3 else 1
        self.model = UNet(
            UNetConfig(
                channels, config.base, config.multipliers, config.blocks, config.attention, config.heads,
                dropout=config.dropout, classes=config.classes,
            ), rng=rng,
        )  # fmt: skip
        self.descent = Descent(self.model, config)
        self.parts = self.descent.parts
        if training is not None:
            labels = np.zeros(len(training), int) if training.labels is None else training.labels
            pairs = (to_network(training.images), labels)
            self.batches = data.batches(pairs, min(config.batch, len(training)), rng=rng)

    def step(self, step: int) -> dict[str, float]:
        config, rng, (x0, labels) = self.config, self.rng, next(self.batches)
        t = rng.integers(1, config.times + 1, len(x0))
        noise = rng.standard_normal(x0.shape, dtype=np.float32)
        labels = np.where(rng.random(len(x0)) < config.unlabelled, config.classes, labels)
        x0, t, noise, labels = map(parallel.team().shard, (x0, t, noise, labels))
        predicted = self.model(self.diffusion.q_sample(x0, t, noise), t, labels)
        loss = kernels.mse(predicted, self.diffusion.target(x0, t, noise))
        self.descent.step(loss, step)
        return {"loss": loss.item()}

    def network(self, labels: Array | None, guidance: float) -> Network:
        """The UNet as a function of (x_t, t), told the classes (B,) if there are any.

        Guidance w: none + w (told - none), w = 1 for what was told and no more (Ho & Salimans 2022, equation 6, with
        their w counted from 0).
        """

        def predict(x: Array, t: Array) -> Array:
            told: Array = self.model(x, t, labels).numpy()
            if labels is None or guidance == 1:
                return told
            none: Array = self.model(x, t).numpy()
            return np.asarray(none + np.float32(guidance) * (told - none))

        return predict

    def reverse(
        self, x: Array, label: int | Array = -1, guidance: float = 1.0, sampling_steps: int = 50, eta: float = 1.0,
        *, constrain: Callable[[Array, int], Array] | None = None, rng: np.random.Generator,
    ) -> Iterator[tuple[Array, Array]]:  # fmt: skip
        """From noise x_T (B, C, H, W) to pictures, by the averaged weights: (x, predicted x_0) after each step.

        `label`: the class of all pictures, or of each (B,); -1 for none. With sampling_steps = T and eta = 1 this is
        the ancestral sampling of the paper. `constrain(x_t, t)` may change what each step has drawn.
        """
        labels = np.broadcast_to(label, len(x)) if np.any(np.not_equal(label, -1)) else None
        if labels is not None and not 0 <= labels.min() <= labels.max() < self.config.classes:
            last = self.config.classes - 1
            known = f"the classes of this model are 0 to {last}" if last >= 0 else "it has no classes"
            raise ValueError(f"label={label}: {known}")
        if sampling_steps < 1 or not 0 <= eta <= 1:
            raise ValueError(f"sampling_steps={sampling_steps}, eta={eta}: at least 1 step, and eta from 0 to 1")
        network, times = self.network(labels, guidance), self.config.times
        path = np.linspace(times, 0, min(sampling_steps, times) + 1).round().astype(int).tolist()
        with self.descent.averaged():
            for t, s in pairwise(path):
                if len(path) > times and eta == 1:
                    x, x0 = self.diffusion.ancestral_step(network, x, t, rng=rng)
                else:
                    x, x0 = self.diffusion.ddim_step(network, x, t, s, eta, rng=rng)
                x = x if constrain is None else constrain(x, s)
                yield x, x0

    def noise(self, n: int, rng: np.random.Generator) -> Array:
        """x_T: (n, C, H, W)."""
        h, w, *channels = self.config.shape
        return rng.standard_normal((n, *(channels or [1]), h, w), dtype=np.float32)

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> Array:
        """n pictures. Options: those of `reverse`; a label for each picture is an array (n,)."""
        drawn = [np.zeros((0, *self.config.shape), np.float32)]
        with progress_bar(n, "drawing", passing=True) as bar:
            for start in range(0, n, 100):
                some = slice(start, min(start + 100, n))
                label = options.get("label", -1)
                here = options | {"label": label[some] if np.ndim(label) else label}
                *_, (x, _) = self.reverse(self.noise(some.stop - start, rng), **here, rng=rng)
                drawn.append(to_pictures(x, self.config.shape))
                bar.update(len(x))
        return np.concatenate(drawn)

    def measured(self, n: int, training: Any) -> tuple[Array, Array | None]:
        """Of a model with classes n pictures whose classes are as frequent as in training."""
        if not self.config.classes:
            return super().measured(n, training)
        classes = np.sort(training.labels)[np.linspace(0, len(training) - 1, n).round().astype(int)]
        return self.sample(n, label=classes, rng=np.random.default_rng(1)), classes

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        """Besides, what it draws if it is not told a class."""
        rows = super().evaluate(name, training, test)
        if self.config.classes:
            samples, _ = super().measured(min(len(test), SAMPLES), training)
            figures = evaluate(
                samples, training.images, test.images, Evaluator.load(name), rng=np.random.default_rng(2),
                train_labels=training.labels, test_labels=test.labels,
            )  # fmt: skip
            rows.insert(1, {"name": "generator, told no class", **figures})
        return rows

    def inpaint(self, images: Array, known: Array, *, rng: np.random.Generator, sampling_steps: int = 250) -> Array:
        """Draw the pixels where `known` (N, H, W) is False; the others come back exactly as they were."""
        x0 = to_network(images)
        mask = np.broadcast_to(known[:, None], x0.shape)

        def put_back(x: Array, t: int) -> Array:
            noise = rng.standard_normal(x0.shape, dtype=np.float32)
            return np.where(mask, self.diffusion.q_sample(x0, np.full(len(x0), t), noise), x)

        start = self.noise(len(images), rng)
        *_, (x, _) = self.reverse(start, sampling_steps=sampling_steps, constrain=put_back, rng=rng)
        drawn = to_pictures(x, self.config.shape)
        return np.where(known.reshape(known.shape + (1,) * (images.ndim - 3)), images, drawn)

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        """Samples of each class; the forward and the reverse process; missing pixels drawn."""
        rng = np.random.default_rng(4)
        pictures = super().show(folder, training, test)  # of which the samples are told no class
        if self.config.classes:
            by_class = np.repeat(np.arange(min(10, self.config.classes)), 10)
            write_png(folder / "classes.png", grid(self.sample(len(by_class), label=by_class, rng=rng), 10))
            pictures.append(("classes.png", "Drawn by class, a row each"))

        some = rng.permutation(test.images)[:8]
        x0, share = to_network(some), np.linspace(0, 1, 10)
        noise = rng.standard_normal(x0.shape, dtype=np.float32)
        times = (share * self.config.times).round().astype(int)
        forward = [self.diffusion.q_sample(x0, np.full(len(x0), t), noise) for t in times]
        write_png(folder / "forward.png", grid(strip(forward, self.config.shape), len(times)))

        start = self.noise(8, rng)
        path = [start, *(x for x, _ in self.reverse(start, rng=rng))]
        chosen = [path[i] for i in np.linspace(0, len(path) - 1, 10).round().astype(int)]
        write_png(folder / "reverse.png", grid(strip(chosen, self.config.shape), len(chosen)))

        known = np.broadcast_to(known_pixels(some.shape[1:3], "lower"), some.shape[:3])
        seen = np.where(known.reshape(known.shape + (1,) * (some.ndim - 3)), some, 0.5).astype(np.float32)
        filled = [self.inpaint(some, known, rng=rng, sampling_steps=100) for _ in range(3)]
        write_png(folder / "inpainted.png", grid(np.concatenate([some, seen, *filled]), 8))
        return [
            *pictures,
            ("forward.png", "The forward process: a picture becomes noise"),
            ("reverse.png", "The reverse process: noise becomes a picture"),
            ("inpainted.png", "Missing pixels: the picture, what was left of it, three ways to fill it"),
        ]


def known_pixels(shape: tuple[int, ...], missing: str) -> Array:
    """Which pixels are left of a picture (H, W) if a part of it is missing."""
    if missing not in MISSING:
        raise ValueError(f"missing={missing}: one of {', '.join(MISSING)}")
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    left, upper = columns < width // 2, rows < height // 2
    inner = [abs(2 * at + 1 - size) < size // 2 for at, size in ((rows, height), (columns, width))]
    return np.asarray(~{"lower": ~upper, "upper": upper, "left": left, "right": ~left, "middle": inner[0] & inner[1]}[missing])


def to_network(images: Array) -> Array:
    """Pictures (N, H, W[, C]) in [0, 1] -> (N, C, H, W) in [-1, 1]."""
    channels = images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1)
    return np.ascontiguousarray(channels * np.float32(2) - np.float32(1), dtype=np.float32)


def to_pictures(x: Array, shape: tuple[int, ...]) -> Array:
    """(N, C, H, W) in [-1, 1] -> pictures (N, H, W[, C]) in [0, 1]."""
    return np.clip(np.moveaxis(x, 1, -1).reshape(len(x), *shape) / 2 + np.float32(0.5), 0, 1)


def strip(path: list[Array], shape: tuple[int, ...]) -> Array:
    """Batches along time -> pictures, those of one sample side by side."""
    return np.stack([to_pictures(x, shape) for x in path], axis=1).reshape(-1, *shape)  # (B times, H, W)
