"""Denoising diffusion probabilistic models (Ho, Jain & Abbeel 2020, arXiv 2006.11239).

    L = E |epsilon - epsilon_theta(sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) epsilon, t)|^2                   (equation 14)

A network learns to predict the noise in a noisy picture, and the process of `diffusion.py` then turns noise into a picture.
Besides: classes with classifier-free guidance (Ho & Salimans 2022), and inpainting: missing pixels are drawn, the known
ones put back at each step with the noise of that step (Lugmayr et al. 2022, without resampling).

Deviation, on purpose: the loss compares unweighted in whatever the network predicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Annotated, Any

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn

from ..config import Fraction, NonNegative
from .diffusion import Diffusion, Network
from .unet import UNet, UNetConfig

MISSING = ("lower", "upper", "left", "right", "middle")  # half of a picture, or half its height and width


@dataclass(frozen=True)
class DDPMConfig:
    """What makes a diffusion model: the diffusion, the UNet, optimisation."""

    shape: tuple[int, ...] = (8, 8)  # of a picture: (H, W) or (H, W, C)
    classes: NonNegative = 10  # told to the network in training; 0 for a model without
    schedule: str = "cosine"  # or linear
    timesteps: int = 1000  # T
    prediction: str = "v"  # or epsilon, x0
    base: int = 24
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    attention: Annotated[tuple[int, ...], 0, inf] = (1,)
    heads: int = 4
    dropout: Fraction = 0.1
    label_dropout: Fraction = 0.3  # share of the training pictures whose class is not told
    steps: int = 5000
    batch: int = 64
    rate: float = 2e-3
    warm_up: NonNegative = 200
    average: Fraction = 0.998  # decay of the moving average of the weights


class DDPM(nn.Module):
    """A UNet that learns to predict noise or picture, and the drawing of pictures with it."""

    def __init__(self, config: DDPMConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        self.diffusion = Diffusion(config.schedule, config.timesteps, config.prediction)
        channels = config.shape[2] if len(config.shape) == 3 else 1
        self.unet = UNet(
            UNetConfig(
                channels, config.base, config.multipliers, config.blocks, config.attention, config.heads,
                dropout=config.dropout, classes=config.classes,
            ), rng=rng,
        )  # fmt: skip

    def forward(self, x: np.ndarray, t: np.ndarray, labels: np.ndarray | None = None) -> Any:
        """What the network predicts from x_t (B, C, H, W) at timesteps t (B,), of classes (B,) if there are any."""
        return self.unet(x, t, labels)

    def loss(self, x0: np.ndarray, t: np.ndarray, noise: np.ndarray, labels: np.ndarray) -> Any:
        """The squared error of the prediction (equation 14). A label `config.classes` stands for none."""
        predicted = self(self.diffusion.q_sample(x0, t, noise), t, labels)
        return kernels.mse(predicted, self.diffusion.target(x0, t, noise))

    def denoiser(self, labels: np.ndarray | None, guidance: float) -> Network:
        """The UNet as a function of (x_t, t), told the classes (B,) if there are any.

        Guidance w: none + w (told - none), w = 1 for what was told and no more (Ho & Salimans 2022, equation 6, with
        their w counted from 0).
        """

        def predict(x: np.ndarray, t: np.ndarray) -> np.ndarray:
            told: np.ndarray = self(x, t, labels).numpy()
            if labels is None or guidance == 1:
                return told
            none: np.ndarray = self(x, t).numpy()
            return np.asarray(none + np.float32(guidance) * (told - none))

        return predict

    def reverse(
        self, x: np.ndarray, label: int | np.ndarray = -1, guidance: float = 1.0, sampling_steps: int = 50, eta: float = 1.0,
        *, constrain: Callable[[np.ndarray, int], np.ndarray] | None = None, rng: np.random.Generator,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
        """From noise x_T (B, C, H, W) to pictures: (x, predicted x_0) after each step.

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
        network, timesteps = self.denoiser(labels, guidance), self.config.timesteps
        path = np.linspace(timesteps, 0, min(sampling_steps, timesteps) + 1).round().astype(int).tolist()
        with tg.no_grad():
            for t, s in pairwise(path):
                if len(path) > timesteps and eta == 1:
                    x, x0 = self.diffusion.ancestral_step(network, x, t, rng=rng)
                else:
                    x, x0 = self.diffusion.ddim_step(network, x, t, s, eta, rng=rng)
                x = x if constrain is None else constrain(x, s)
                yield x, x0

    def noise(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """x_T: (n, C, H, W)."""
        h, w, *channels = self.config.shape
        return rng.standard_normal((n, *(channels or [1]), h, w), dtype=np.float32)

    def sample(
        self, n: int, *, rng: np.random.Generator, observe: Callable[[int], object] | None = None, **options: Any
    ) -> np.ndarray:
        """n pictures. Options: those of `reverse`; a label for each picture is an array (n,).

        They are drawn a hundred at a time; `observe` is called with the number of each lot.
        """
        drawn = [np.zeros((0, *self.config.shape), np.float32)]
        for start in range(0, n, 100):
            some = slice(start, min(start + 100, n))
            label = options.get("label", -1)
            here = options | {"label": label[some] if np.ndim(label) else label}
            *_, (x, _) = self.reverse(self.noise(some.stop - start, rng), **here, rng=rng)
            drawn.append(to_images(x, self.config.shape))
            if observe is not None:
                observe(len(x))
        return np.concatenate(drawn)

    def inpaint(
        self, images: np.ndarray, known: np.ndarray, *, rng: np.random.Generator, sampling_steps: int = 250
    ) -> np.ndarray:
        """Draw the pixels where `known` (N, H, W) is False; the others come back exactly as they were."""
        x0 = to_network(images)
        mask = np.broadcast_to(known[:, None], x0.shape)

        def put_back(x: np.ndarray, t: int) -> np.ndarray:
            noise = rng.standard_normal(x0.shape, dtype=np.float32)
            return np.where(mask, self.diffusion.q_sample(x0, np.full(len(x0), t), noise), x)

        start = self.noise(len(images), rng)
        *_, (x, _) = self.reverse(start, sampling_steps=sampling_steps, constrain=put_back, rng=rng)
        drawn = to_images(x, self.config.shape)
        return np.where(known.reshape(known.shape + (1,) * (images.ndim - 3)), images, drawn)


def known_pixels(shape: tuple[int, ...], missing: str) -> np.ndarray:
    """Which pixels are left of a picture (H, W) if a part of it is missing."""
    if missing not in MISSING:
        raise ValueError(f"missing={missing}: one of {', '.join(MISSING)}")
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    left, upper = columns < width // 2, rows < height // 2
    inner = [abs(2 * at + 1 - size) < size // 2 for at, size in ((rows, height), (columns, width))]
    return np.asarray(~{"lower": ~upper, "upper": upper, "left": left, "right": ~left, "middle": inner[0] & inner[1]}[missing])


def to_network(images: np.ndarray) -> np.ndarray:
    """Pictures (N, H, W[, C]) in [0, 1] -> (N, C, H, W) in [-1, 1]."""
    channels = images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1)
    return np.ascontiguousarray(channels * np.float32(2) - np.float32(1), dtype=np.float32)


def to_images(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(N, C, H, W) in [-1, 1] -> pictures (N, H, W[, C]) in [0, 1]."""
    return np.clip(np.moveaxis(x, 1, -1).reshape(len(x), *shape) / 2 + np.float32(0.5), 0, 1)
