"""Denoising diffusion probabilistic models (Ho, Jain & Abbeel 2020, arXiv 2006.11239).

    L = E |epsilon - epsilon_theta(sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) epsilon, t)|^2

A network learns to predict the noise in a noisy image (equation 14), and the process of
`diffusion.py` then turns noise into an image. Besides: classes with classifier-free guidance (Ho &
Salimans 2022, arXiv 2207.12598), and inpainting: missing pixels are drawn, the known ones put back
at each step with the noise of that step, and each step is repeated, so that the drawn pixels come
to fit the known ones (Lugmayr et al. 2022, arXiv 2201.09865, algorithm 1 with jumps of one step).

A model with classes is a classifier by Bayes' theorem: the bound on log p(x | class) of the process
that it draws by, with the same noise for all classes (Li et al. 2023, arXiv 2303.16203, algorithm
1, who do without the weights of its terms).

Deviation, on purpose: the loss compares unweighted in whatever the network predicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels

from ..classical.missing import to_mask
from ..config import ImageConfig, no_class
from ..pretrained import Pretrained
from .diffusion import Diffusion, Network
from .unet import UNet, UNetConfig

SAMPLING_BATCH = 100  # so many images are drawn at a time
BOUND_BATCH = 500  # so many are denoised at a time for a bound


@dataclass(frozen=True)
class DDPMConfig(ImageConfig):
    """What makes a diffusion model: its images, the diffusion, the UNet."""

    model_type: ClassVar = "ddpm"

    timesteps: int = 1000  # T
    beta_schedule: Annotated[str, "cosine", "linear"] = "cosine"  # or linear
    prediction_type: Annotated[str, "v", "epsilon", "x0"] = "v"  # or epsilon, x0
    unet: UNetConfig = field(
        default_factory=partial(UNetConfig, base_channels=24, num_classes=10),
    )


# Published models by name.
SIZES = {
    "ddpm-cifar10": DDPMConfig(  # Ho et al. 2020, appendix B: 35.7 million parameters
        image_size=(32, 32),
        num_channels=3,
        beta_schedule="linear",
        prediction_type="epsilon",
        unet=UNetConfig(
            in_channels=3,
            base_channels=128,
            channel_multipliers=(1, 2, 2, 2),
            num_res_blocks=2,
            attention_levels=(1,),
            num_heads=1,
            num_groups=32,
        ),
    ),
}


class DDPM(Pretrained):
    """A UNet that learns to predict noise or image, and the sampling of images with it."""

    config_class = DDPMConfig

    def __init__(self, config: DDPMConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        if config.unet.in_channels != config.num_channels:
            raise ValueError(
                f"unet.in_channels={config.unet.in_channels}: "
                f"the images have num_channels={config.num_channels}"
            )
        self.diffusion = Diffusion(
            config.beta_schedule,
            config.timesteps,
            config.prediction_type,
        )
        self.unet = UNet(config.unet, rng=rng)

    def forward(self, x: np.ndarray, t: np.ndarray, labels: np.ndarray | None = None) -> Any:
        """What the network predicts from x_t (B, C, H, W) at timesteps t (B,).

        `labels` (B,) are the classes if there are any; `num_classes` stands for none.
        """
        return self.unet(x, t, labels)

    def loss(self, x0: np.ndarray, t: np.ndarray, noise: np.ndarray, labels: np.ndarray) -> Any:
        """The squared error of the prediction (equation 14). For arguments see `forward`."""
        x_t = self.diffusion.q_sample(x0, t, noise)
        target = self.diffusion.target(x0, t, noise)
        return kernels.mse(self(x_t, t, labels), target)

    def denoiser(self, labels: np.ndarray | None, guidance: float) -> Network:
        """The UNet as a function of (x_t, t) that knows the classes (B,) if there are any.

        With guidance w the prediction is (1 - w) unconditional + w conditional (Ho & Salimans
        2022, equation 6, with their w counted from 0).
        """

        def predict(x: np.ndarray, t: np.ndarray) -> np.ndarray:
            conditional: np.ndarray = self(x, t, labels).numpy()
            if labels is None or guidance == 1:
                return conditional
            unconditional: np.ndarray = self(x, t).numpy()
            difference = conditional - unconditional
            return np.asarray(unconditional + np.float32(guidance) * difference)

        return predict

    def reverse(
        self,
        x: np.ndarray,
        label: int | np.ndarray = -1,
        guidance: float = 1.0,
        sampling_steps: int = 50,
        eta: float = 1.0,
        *,
        constrain: Callable[[np.ndarray, int], np.ndarray] | None = None,
        repeats: int = 1,
        rng: np.random.Generator,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """From noise x_T (B, C, H, W) to images: (x, predicted x_0) after each step.

        `label`: the class of all images, or of each (B,); -1 for none. With sampling_steps = T and
        eta = 1 this is the ancestral sampling of the paper. `constrain(x_t, t)` may change what
        each step has drawn; a step is made `repeats` times, with the noise put back in between.
        """
        if sampling_steps < 1 or not 0 <= eta <= 1:
            given = f"sampling_steps={sampling_steps}, eta={eta}"
            raise ValueError(f"{given}: at least 1 step, and eta from 0 to 1")
        denoise = self.denoiser(self.checked_labels(label, len(x)), guidance)
        T = self.config.timesteps
        with tg.no_grad():
            for t, s in self.path(sampling_steps):
                for repeat in range(repeats):
                    if repeat:
                        x = self.diffusion.back(x, s, t, rng=rng)
                    if sampling_steps >= T and eta == 1:
                        x, x0 = self.diffusion.ancestral_step(denoise, x, t, rng=rng)
                    else:
                        x, x0 = self.diffusion.ddim_step(denoise, x, t, s, eta, rng=rng)
                    if constrain is not None:
                        x = constrain(x, s)
                yield x, x0

    def path(self, sampling_steps: int) -> Iterator[tuple[int, int]]:
        """(t, s) of each step, from T to 0."""
        T = self.config.timesteps
        times = np.linspace(T, 0, min(sampling_steps, T) + 1)
        return pairwise(times.round().astype(int).tolist())

    def checked_labels(self, label: int | np.ndarray, n: int) -> np.ndarray | None:
        """The classes of n images (n,), or None. Raises ValueError for one the model lacks."""
        if not np.any(np.not_equal(label, -1)):
            return None
        labels = np.broadcast_to(label, n)
        classes = self.config.unet.num_classes
        for number in labels[(labels < 0) | (labels >= classes)]:
            raise no_class(number, classes)
        return labels

    def class_bounds(
        self,
        images: np.ndarray,
        *,
        sampling_steps: int = 50,
        rng: np.random.Generator,
        observe: Callable[[int], object] | None = None,
    ) -> np.ndarray:
        """Bounds on log p(x | class) for each class, in nats: images (N, H, W[, C]) -> (N, K).

        They are of the process of so many steps (eta = 1) and of images of 256 levels; each term is
        estimated by one x_t, the same for all classes. `observe` is called with the number of
        images of each batch that is done. Raises ValueError for a model without classes.
        """
        K = self.config.unet.num_classes
        if not K:
            raise ValueError("this model has no classes; train one with unet.num_classes")
        bounds = [np.zeros((0, K))]
        size = max(1, BOUND_BATCH // K)
        for start in range(0, len(images), size):
            x0 = to_network(images[start : start + size])  # (B, C, H, W)
            bounds.append(self.bounds(x0, sampling_steps, rng=rng))
            if observe is not None:
                observe(len(x0))
        return np.concatenate(bounds)

    def bounds(
        self, x0: np.ndarray, sampling_steps: int, *, rng: np.random.Generator
    ) -> np.ndarray:
        """The same, (B, K), of a batch of images as the network has them."""
        B, K = len(x0), self.config.unet.num_classes
        labels = np.tile(np.arange(K), B)  # (B K,)
        each = x0.repeat(K, axis=0)  # (B K, C, H, W)
        bounds = -self.diffusion.prior_divergence(each)
        with tg.no_grad():
            for t, s in self.path(sampling_steps):
                noise = rng.standard_normal(x0.shape, dtype=np.float32).repeat(K, axis=0)
                times = np.full(len(each), t)
                x = self.diffusion.q_sample(each, times, noise)
                output = self(x, times, labels).numpy()
                predicted, _ = self.diffusion.x0_and_epsilon(x, times, output)
                if s:
                    bounds -= self.diffusion.divergence(each, predicted, t, s)
                else:
                    bounds += self.diffusion.log_likelihood(each, predicted, t)
        return bounds.reshape(B, K)

    def noise(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """x_T: (n, C, H, W)."""
        shape = (n, self.config.num_channels, *self.config.image_size)
        return rng.standard_normal(shape, dtype=np.float32)

    def sample(
        self,
        n: int,
        *,
        rng: np.random.Generator,
        observe: Callable[[int], object] | None = None,
        **options: Any,
    ) -> np.ndarray:
        """n images in [0, 1], (n, H, W[, C]).

        `options` are those of `reverse`; `label` may be an array (n,). `observe` is called with the
        number of images of each batch that is done.
        """
        shape = self.config.image_shape
        images = [np.zeros((0, *shape), np.float32)]
        labels = np.broadcast_to(options.pop("label", -1), n)
        for start in range(0, n, SAMPLING_BATCH):
            label = labels[start : start + SAMPLING_BATCH]
            noise = self.noise(len(label), rng)
            *_, (x, _) = self.reverse(noise, label, **options, rng=rng)
            images.append(to_images(x, shape))
            if observe is not None:
                observe(len(x))
        return np.concatenate(images)

    def inpaint(
        self,
        images: np.ndarray,
        known: np.ndarray,
        *,
        rng: np.random.Generator,
        sampling_steps: int = 50,
        repeats: int = 5,
        observe: Callable[[int], object] | None = None,
    ) -> np.ndarray:
        """Draw the pixels where `known` (N, H, W) is False; the others stay exactly as they are.

        `repeats`: how often each step is made. `observe` is called with 1 after each step.
        """
        x0 = to_network(images)
        mask = np.broadcast_to(known[:, None], x0.shape)

        def put_back(x: np.ndarray, t: int) -> np.ndarray:
            noise = rng.standard_normal(x0.shape, dtype=np.float32)
            noisy = self.diffusion.q_sample(x0, np.full(len(x0), t), noise)
            return np.where(mask, noisy, x)

        noise = self.noise(len(images), rng)
        path = self.reverse(
            noise,
            sampling_steps=sampling_steps,
            constrain=put_back,
            repeats=repeats,
            rng=rng,
        )
        x = noise
        for later, _ in path:
            x = later
            if observe is not None:
                observe(1)
        drawn = to_images(x, self.config.image_shape)
        return np.where(to_mask(known, images), images, drawn)


def to_network(images: np.ndarray) -> np.ndarray:
    """Images (N, H, W[, C]) in [0, 1] -> (N, C, H, W) in [-1, 1]."""
    x = images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1)
    x = x * np.float32(2) - np.float32(1)
    return np.ascontiguousarray(x, dtype=np.float32)


def to_images(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(N, C, H, W) in [-1, 1] -> images (N, H, W[, C]) in [0, 1]."""
    images = np.moveaxis(x, 1, -1).reshape(len(x), *shape)  # (N, H, W[, C])
    return np.clip(images / 2 + np.float32(0.5), 0, 1)
