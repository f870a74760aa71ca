"""A variational autoencoder (Kingma & Welling 2014, arXiv 1312.6114), and tighter bounds on it.

An image x comes from a latent vector z ~ N(0, 1) by the decoder, p(x | z). What z an image came
from, the encoder answers with a Gaussian q(z | x) = N(mean, exp(log_variance)), and

    log p(x) >= E_q log p(x | z) - KL(q(z | x) || p(z))           the ELBO (equation 3)
    z = mean + exp(log_variance / 2) epsilon,  epsilon ~ N(0, 1)  reparameterised (section 2.4)
    KL = 1/2 sum_j (mean_j^2 + exp(log_variance_j) - 1 - log_variance_j)         (appendix B)

With beta != 1 the divergence is weighted (Higgins et al. 2017). k draws make a tighter bound, which
rises with k to log p(x) (Burda et al. 2016, arXiv 1509.00519, equation 8):

    log p(x) >= E log 1/k sum_i p(x, z_i) / q(z_i | x),  z_i ~ q(z | x)

With classes, encoder and decoder see the class of each image, one-hot (Sohn et al. 2015). Then the
bounds are on log p(x | class), and classify by Bayes' theorem.

Likelihoods p(x | z):

- "bernoulli": pixels are 0 or 1, and the decoder gives their logits. Grey images become such pixels
  by `binarise`: each is 1 with a probability of its grey value. With more than 2 levels a pixel is
  the mean of num_levels - 1 such draws: binomial, and grey images are rounded to these levels.
- "gaussian": N(mean, sigma^2), where the decoder gives the mean. Deviation, on purpose: one sigma
  is learned for all pixels; with one for each (appendix C.2) the density has no limit where a pixel
  never changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from scipy.special import expit, gammaln, ndtri

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn

from ..config import ImageConfig, NonNegative
from ..pretrained import Pretrained

BATCH = 5000  # so many latent vectors are decoded at a time where no gradient is wanted
LOG_TWO_PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class VAEConfig(ImageConfig):
    """What makes a VAE: its images, its two networks, its likelihood."""

    model_type: ClassVar = "vae"

    latent_dim: int = 16  # of z
    architecture: Annotated[str, "dense", "convolutional"] = "dense"  # or convolutional
    hidden_sizes: tuple[int, ...] = (256, 256)  # of the encoder's layers; convolutional: channels
    likelihood: Annotated[str, "bernoulli", "gaussian"] = "bernoulli"  # or gaussian
    num_levels: Annotated[int, 2, inf] = 2  # of a pixel; above 2 the likelihood is binomial
    num_classes: NonNegative = 0  # that encoder and decoder are told; 0 for none

    @property
    def pixels(self) -> int:
        """How many numbers an image has."""
        return math.prod(self.image_shape)


class Posterior(NamedTuple):
    """q(z | x): a Gaussian for each image, mean and log variance (N, Z)."""

    mean: Any
    log_variance: Any

    def draw(self, noise: np.ndarray) -> Any:
        """z = mean + exp(log_variance / 2) noise: (..., N, Z), as the noise."""
        return self.mean + np.exp(0.5 * self.log_variance) * noise

    def divergences(self) -> Any:
        """KL(q(z | x) || N(0, 1)) in each latent dimension, in nats: (N, Z)."""
        mean, log_variance = self
        return 0.5 * (np.square(mean) + np.exp(log_variance) - 1 - log_variance)

    def divergence(self) -> Any:
        """KL(q(z | x) || N(0, 1)) of each image, in nats: (N,)."""
        return self.divergences().sum(axis=-1)


# ------------------------------------------------------------------------------------ the networks


def dense(inputs: int, sizes: tuple[int, ...], outputs: int, rng: np.random.Generator) -> Any:
    """Blocks Linear -> ReLU of these sizes, then Linear: (..., inputs) -> (..., outputs)."""
    layers: list[nn.Module] = []
    for size in sizes:
        layers += [nn.Linear(inputs, size, rng=rng), nn.ReLU()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, outputs, rng=rng))


def halved(size: tuple[int, int], times: int) -> list[tuple[int, int]]:
    """(H, W) of an image, and after each convolution of stride 2."""
    sizes = [size]
    for _ in range(times):
        H, W = sizes[-1]
        sizes.append(((H + 1) // 2, (W + 1) // 2))
    return sizes


class ConvEncoder(nn.Module):
    """Convolutions of stride 2 with ReLUs, then Linear: pixels (N, P + K) -> (N, 2 Z).

    The K numbers behind the pixels, the class, become images that are the same everywhere.
    """

    def __init__(self, config: VAEConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        channels = config.num_channels + config.num_classes
        layers: list[nn.Module] = []
        for width in config.hidden_sizes:
            layers += [nn.Conv2d(channels, width, 3, 2, 1, rng=rng), nn.ReLU()]
            channels = width
        self.layers = nn.Sequential(*layers)
        H, W = halved(config.image_size, len(config.hidden_sizes))[-1]
        self.head = nn.Linear(channels * H * W, 2 * config.latent_dim, rng=rng)

    def forward(self, x: Any) -> Any:
        config, N = self.config, len(x)
        H, W = config.image_size
        images = x[:, : config.pixels].reshape(N, H, W, config.num_channels)
        images = np.moveaxis(images, -1, 1)  # (N, C, H, W)
        if config.num_classes:
            classes = x[:, config.pixels :, None, None]
            planes = np.broadcast_to(classes, (N, config.num_classes, H, W))
            images = np.concatenate([images, planes], axis=1)
        h = self.layers(images)  # (N, D, h, w)
        return self.head(h.reshape(N, -1))


class ConvDecoder(nn.Module):
    """The way back: Linear, then transposed convolutions: (..., Z + K) -> (..., P)."""

    def __init__(self, config: VAEConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        sizes = halved(config.image_size, len(config.hidden_sizes))[::-1]
        widths = config.hidden_sizes[::-1]
        self.smallest = (widths[0], *sizes[0])  # (D, h, w)
        self.head = nn.Linear(
            config.latent_dim + config.num_classes, math.prod(self.smallest), rng=rng
        )
        layers: list[nn.Module] = []
        outputs = (*widths[1:], config.num_channels)
        for i, (inputs, width) in enumerate(zip(widths, outputs, strict=True)):
            (h, w), (H, W) = sizes[i], sizes[i + 1]
            rest = (H - 2 * h + 1, W - 2 * w + 1)  # 1 where an even size is to come back
            up = nn.ConvTranspose2d(inputs, width, 3, 2, 1, output_padding=rest, rng=rng)
            layers += [nn.ReLU(), up]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Any) -> Any:
        h = self.head(z.reshape(-1, z.shape[-1]))
        images = self.layers(h.reshape(-1, *self.smallest))  # (N, C, H, W)
        return np.moveaxis(images, 1, -1).reshape(*z.shape[:-1], self.config.pixels)


# --------------------------------------------------------------------------------------- the model


class VAE(Pretrained):
    """Encoder and decoder, and the bounds on log p(x).

    Images are flat, x (N, P). `labels` (N,) are the classes of the images, for a model that has
    classes. Latent vectors are z (..., N, Z): any number of draws for each of N images.
    """

    config_class = VAEConfig

    def __init__(self, config: VAEConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        Z, K, sizes = config.latent_dim, config.num_classes, config.hidden_sizes
        if config.architecture == "convolutional":
            if not sizes:
                raise ValueError("hidden_sizes=(): a convolutional VAE has channels")
            self.encoder: Any = ConvEncoder(config, rng=rng)
            self.decoder: Any = ConvDecoder(config, rng=rng)
        else:
            self.encoder = dense(config.pixels + K, sizes, 2 * Z, rng)
            self.decoder = dense(Z + K, sizes[::-1], config.pixels, rng)
        if config.likelihood == "gaussian":
            self.log_variance = nn.parameter(np.full((), -3, np.float32))  # log sigma^2

    def with_classes(self, x: Any, labels: np.ndarray | None) -> Any:
        """x (..., N, D) with the one-hot classes of its rows behind it: (..., N, D + K)."""
        K = self.config.num_classes
        if (labels is None) != (K == 0):
            message = "this VAE tells classes apart: give labels" if K else "it has no classes"
            raise ValueError(f"num_classes={K}: {message}")
        if labels is None:
            return x
        for label in labels[(labels < 0) | (labels >= K)]:
            raise ValueError(f"label={label}: the classes of this model are 0 to {K - 1}")
        one_hot = np.eye(K, dtype=np.float32)[labels]  # (N, K)
        return np.concatenate([x, np.broadcast_to(one_hot, (*x.shape[:-1], K))], axis=-1)

    def encode(self, x: Any, labels: np.ndarray | None = None) -> Posterior:
        """q(z | x)."""
        h = self.encoder(self.with_classes(x, labels))  # (N, 2 Z)
        Z = self.config.latent_dim
        return Posterior(h[:, :Z], h[:, Z:])

    def decode(self, z: Any, labels: np.ndarray | None = None) -> Any:
        """What the likelihood is made of, logits or means: (..., N, P)."""
        return self.decoder(self.with_classes(z, labels))

    def log_likelihood(self, x: Any, z: Any, labels: np.ndarray | None = None) -> Any:
        """log p(x | z) of each z, in nats: (..., N)."""
        decoded = self.decode(z, labels)
        if self.config.likelihood == "gaussian":
            squares = np.square(x - decoded).sum(axis=-1) * np.exp(-self.log_variance)
            return -0.5 * (squares + self.config.pixels * (LOG_TWO_PI + self.log_variance))
        draws = self.config.num_levels - 1
        seen = np.broadcast_to(x, decoded.shape)
        log_p = -kernels.bce_with_logits(decoded, seen, reduction="none").sum(axis=-1)
        return log_p if draws == 1 else draws * log_p + log_orders(x, draws)

    def elbo(self, x: Any, noise: np.ndarray, labels: np.ndarray | None = None) -> tuple[Any, Any]:
        """log p(x | z) of a z drawn with `noise` (N, Z), and the divergence: (N,) each.

        The ELBO is the first less the second, in expectation over the noise.
        """
        posterior = self.encode(x, labels)
        z = posterior.draw(noise)
        return self.log_likelihood(x, z, labels), posterior.divergence()

    def loss(
        self, x: Any, noise: np.ndarray, labels: np.ndarray | None = None, beta: float = 1.0
    ) -> Any:
        """-ELBO, the mean over the images, with the divergence weighted by beta."""
        log_likelihood, divergence = self.elbo(x, noise, labels)
        return (beta * divergence - log_likelihood).mean()

    def log_weights(self, x: Any, noise: np.ndarray, labels: np.ndarray | None = None) -> Any:
        """log p(x, z) / q(z | x) of each z, drawn with `noise` (..., N, Z): (..., N)."""
        posterior = self.encode(x, labels)
        z = posterior.draw(noise)
        log_prior = -0.5 * np.square(z).sum(axis=-1)
        log_q = -0.5 * (np.square(noise).sum(axis=-1) + posterior.log_variance.sum(axis=-1))
        return self.log_likelihood(x, z, labels) + log_prior - log_q  # log 2 pi cancels

    def iwae(self, x: Any, noise: np.ndarray, labels: np.ndarray | None = None) -> Any:
        """The bound of k draws, of each image, from `noise` (k, N, Z): (N,)."""
        log_w = self.log_weights(x, noise, labels)  # (k, N)
        highest = np.max(log_w, axis=0)
        return highest + np.log(np.mean(np.exp(log_w - highest), axis=0))

    # ------------------------------------------------------------- of many images, without gradient

    def bounds(
        self,
        x: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        k: int = 0,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """The ELBO of each image, or with k > 0 its bound of k draws, in nats: (N,)."""
        Z = self.config.latent_dim
        size = max(1, BATCH // max(1, k))
        found = [np.zeros(0, np.float32)]
        with tg.no_grad():
            for start in range(0, len(x), size):
                rows = slice(start, start + size)
                some, classes = x[rows], None if labels is None else labels[rows]
                if k:
                    noise = rng.standard_normal((k, len(some), Z), dtype=np.float32)
                    bound = self.iwae(tg.Tensor(some), noise, classes)
                else:
                    noise = rng.standard_normal((len(some), Z), dtype=np.float32)
                    log_likelihood, divergence = self.elbo(tg.Tensor(some), noise, classes)
                    bound = log_likelihood - divergence
                found.append(bound.numpy())
        return np.concatenate(found)

    def class_bounds(self, x: np.ndarray, *, k: int = 10, rng: np.random.Generator) -> np.ndarray:
        """Bounds on log p(x | class) by k draws, of each class, in nats: (N, K).

        Raises ValueError for a model without classes.
        """
        K = self.config.num_classes
        if not K:
            raise ValueError("this VAE has no classes; train one with num_classes")
        labels = [np.full(len(x), label) for label in range(K)]
        return np.stack([self.bounds(x, of, k=k, rng=rng) for of in labels], axis=1)

    # ------------------------------------------------------------------------------------- drawing

    def means(self, z: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """The mean of p(x | z) as images: (N, Z) -> (N, H, W[, C])."""
        shape = self.config.image_shape
        images = [np.zeros((0, *shape), np.float32)]
        with tg.no_grad():
            for start in range(0, len(z), BATCH):
                rows = slice(start, start + BATCH)
                classes = None if labels is None else labels[rows]
                decoded = self.decode(tg.Tensor(z[rows]), classes).numpy()  # (B, P)
                if self.config.likelihood == "bernoulli":
                    decoded = expit(decoded)
                images.append(decoded.reshape(-1, *shape))
        return np.concatenate(images)

    def pixels(self, means: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Images drawn from the likelihood with these means, (N, H, W[, C])."""
        if self.config.likelihood == "gaussian":
            sigma = np.exp(0.5 * self.log_variance.numpy())
            return means + sigma * rng.standard_normal(means.shape, dtype=np.float32)
        draws = self.config.num_levels - 1
        if draws == 1:
            return binarise(means, rng=rng)
        return np.asarray(rng.binomial(draws, means) / draws, np.float32)

    def observed(self, images: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """What the likelihood is of: binarised, rounded or as they are; (N, H, W[, C]) -> (N, P)."""
        x = images.reshape(len(images), -1)
        if self.config.likelihood == "gaussian":
            return x
        draws = np.float32(self.config.num_levels - 1)
        return binarise(x, rng=rng) if draws == 1 else np.round(x * draws) / draws

    def sample(
        self,
        n: int,
        labels: np.ndarray | None = None,
        *,
        drawn: bool = False,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """n images in [0, 1], (n, H, W[, C]): decoded from z ~ N(0, 1).

        They are the means of p(x | z); with `drawn`, draws from it. Without `labels` a model that
        has classes draws any.
        """
        if labels is None and self.config.num_classes:
            labels = rng.integers(self.config.num_classes, size=n)
        z = rng.standard_normal((n, self.config.latent_dim), dtype=np.float32)
        images = self.means(z, labels)
        if drawn:
            images = self.pixels(images, rng)
        return np.asarray(np.clip(images, 0, 1))

    def latent_means(self, x: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """The mean of q(z | x): (N, P) -> (N, Z)."""
        with tg.no_grad():
            mean: np.ndarray = self.encode(tg.Tensor(x), labels).mean.numpy()
        return mean

    def divergences(self, x: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """How much each latent dimension says about images, in nats, the mean of them: (Z,)."""
        with tg.no_grad():
            each: np.ndarray = self.encode(tg.Tensor(x), labels).divergences().numpy()
        return np.asarray(each.mean(axis=0))

    def reconstruct(self, x: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images (N, P), encoded and decoded, each by the mean: (N, H, W[, C])."""
        images = self.means(self.latent_means(x, labels), labels)
        return np.asarray(np.clip(images, 0, 1))


def binarise(images: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Pixels 0 and 1 in float32, each 1 with a probability of its grey value in [0, 1]."""
    drawn = rng.random(images.shape, dtype=np.float32) < images
    return np.asarray(drawn, np.float32)


def log_orders(x: Any, draws: int) -> np.ndarray:
    """log of the number of orders in which so many draws have these means: (..., P) -> (...)."""
    ones = np.round(x.numpy() * draws)
    orders = gammaln(draws + 1) - gammaln(ones + 1) - gammaln(draws - ones + 1)
    return np.asarray(orders.sum(axis=-1), np.float32)


def between(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """Latent vectors from some to others, `steps` of each pair: (N, Z) -> (N, steps, Z)."""
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    return start[:, None] * (1 - share) + end[:, None] * share


def plane(latent_dim: int, first: int, second: int, steps: int) -> np.ndarray:
    """A square of latent vectors, along two dimensions, 0 in the others: (steps, steps, Z).

    Its lines are quantiles of N(0, 1), so that each has the same probability (Kingma & Welling
    2014, appendix A).
    """
    quantiles = ndtri((np.arange(steps) + 0.5) / steps)
    z = np.zeros((steps, steps, latent_dim), np.float32)
    z[..., first] += quantiles[:, None]
    z[..., second] += quantiles
    return z
