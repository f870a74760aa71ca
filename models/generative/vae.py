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
from typing import Annotated, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from scipy.special import expit, gammaln, ndtri

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn
from tinygrad_cv.typing import Array

from ..classical.missing import to_mask
from ..config import ImageConfig, NonNegative, no_class
from ..pretrained import Pretrained
from ..vision.mlp import dense

Labels: TypeAlias = np.ndarray | None
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


# ------------------------------------------------------------------------------------ the networks


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


# ----------------------------------------------------------------------------------- what is drawn


class Posterior(NamedTuple):
    """q(z | x): a Gaussian for each image, mean and log variance (N, Z)."""

    mean: Array
    log_variance: Array

    def draw(self, noise: np.ndarray) -> Array:
        """z = mean + exp(log_variance / 2) noise: (..., N, Z), as the noise."""
        deviation = np.exp(0.5 * self.log_variance)
        return self.mean + deviation * noise

    def divergences(self) -> Array:
        """KL(q(z | x) || N(0, 1)) in each latent dimension, in nats: (N, Z)."""
        mean, log_variance = self
        return 0.5 * (np.square(mean) + np.exp(log_variance) - 1 - log_variance)

    def divergence(self) -> Array:
        """KL(q(z | x) || N(0, 1)) of each image, in nats: (N,)."""
        return self.divergences().sum(axis=-1)


class Bernoulli(nn.Module):
    """Pixels of 0 and 1, or the means of several such draws, from logits.

    num_levels: of a pixel, one more than there are draws.
    """

    def __init__(self, config: VAEConfig) -> None:
        self.draws = config.num_levels - 1

    def observed(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What the likelihood is of: grey images, binarised or rounded to the levels."""
        if self.draws == 1:
            return binarise(images, rng=rng)
        return np.asarray(np.round(images * self.draws) / self.draws, np.float32)

    def log_likelihood(self, x: np.ndarray, logits: Array) -> Array:
        """log p(x | z), in nats, from the logits of each z: (N, P), (..., N, P) -> (..., N)."""
        seen = np.broadcast_to(x, logits.shape)
        losses = kernels.bce_with_logits(logits, seen, reduction="none")
        log_p = -losses.sum(axis=-1)
        return log_p if self.draws == 1 else self.draws * log_p + self.log_orders(x)

    def log_orders(self, x: np.ndarray) -> np.ndarray:
        """log of the number of orders in which the draws can fall: (N, P) -> (N,)."""
        ones = np.round(x * self.draws)
        zeros = self.draws - ones
        orders = gammaln(self.draws + 1) - gammaln(ones + 1) - gammaln(zeros + 1)
        return np.asarray(orders.sum(axis=-1), x.dtype)

    def mean(self, logits: np.ndarray) -> np.ndarray:
        """The mean of a pixel."""
        return np.asarray(expit(logits))

    def draw(self, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Pixels with these means."""
        if self.draws == 1:
            return binarise(mean, rng=rng)
        return np.asarray(rng.binomial(self.draws, mean) / self.draws, np.float32)


class Gaussian(nn.Module):
    """Pixels with the mean that the decoder gives, and one variance for all, which is learned."""

    def __init__(self, config: VAEConfig) -> None:
        self.log_variance = nn.parameter(np.full((), -3, np.float32))

    def observed(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Images as they are."""
        return images

    def log_likelihood(self, x: np.ndarray, mean: Array) -> Array:
        """log p(x | z), in nats, from the mean for each z: (N, P), (..., N, P) -> (..., N)."""
        squares = np.square(x - mean).sum(axis=-1) * np.exp(-self.log_variance)
        volume = x.shape[-1] * (LOG_TWO_PI + self.log_variance)
        return -0.5 * (squares + volume)

    def mean(self, decoded: np.ndarray) -> np.ndarray:
        """The mean of a pixel."""
        return decoded

    def draw(self, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Pixels with these means."""
        deviation = np.exp(0.5 * self.log_variance.numpy())
        noise = rng.standard_normal(mean.shape, dtype=np.float32)
        return np.asarray(mean + deviation * noise)


LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": Gaussian}


def binarise(images: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Pixels 0 and 1 in float32, each 1 with a probability of its grey value in [0, 1]."""
    drawn = rng.random(images.shape, dtype=np.float32) < images
    return np.asarray(drawn, np.float32)


# --------------------------------------------------------------------------------------- the model


class VAE(Pretrained):
    """Encoder, decoder and likelihood, and the bounds on log p(x).

    Images are flat: x (N, P). `labels` (N,) are their classes, for a model that has classes, else
    None. Latent vectors are z (..., N, Z): any number of draws for each of N images.
    """

    config_class = VAEConfig

    def __init__(self, config: VAEConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        sizes = config.hidden_sizes
        Z, K, P = config.latent_dim, config.num_classes, config.pixels
        if config.architecture == "convolutional":
            if not sizes:
                raise ValueError("hidden_sizes=(): a convolutional VAE has channels")
            self.encoder: Any = ConvEncoder(config, rng=rng)
            self.decoder: Any = ConvDecoder(config, rng=rng)
        else:
            self.encoder = dense(P + K, sizes, 2 * Z, rng)
            self.decoder = dense(Z + K, sizes[::-1], P, rng)
        self.likelihood = LIKELIHOODS[config.likelihood](config)

    def encode(self, x: np.ndarray, labels: Labels = None) -> Posterior:
        """q(z | x)."""
        h = self.encoder(self.with_classes(x, labels))  # (N, 2 Z)
        Z = self.config.latent_dim
        return Posterior(h[:, :Z], h[:, Z:])

    def decode(self, z: Array, labels: Labels = None) -> Any:
        """What the likelihood takes, logits or means: (..., N, P)."""
        return self.decoder(self.with_classes(z, labels))

    def with_classes(self, x: Array, labels: Labels) -> Array:
        """x (..., N, D) with the one-hot classes of the images behind it: (..., N, D + K)."""
        K = self.config.num_classes
        if labels is None and K == 0:
            return x
        if labels is None or K == 0:
            message = "this VAE tells classes apart: give labels" if K else "it has no classes"
            raise ValueError(f"num_classes={K}: {message}")
        for label in labels[(labels < 0) | (labels >= K)]:
            raise no_class(label, K)
        one_hot = np.eye(K, dtype=np.float32)[labels]  # (N, K)
        classes = np.broadcast_to(one_hot, (*x.shape[:-1], K))
        return np.concatenate([x, classes], axis=-1)

    # ---------------------------------------------------------------------------------- the bounds

    def elbo(self, x: np.ndarray, noise: np.ndarray, labels: Labels = None) -> tuple[Array, Array]:
        """log p(x | z) of z drawn with `noise` (..., N, Z), (..., N), and the divergence (N,).

        The ELBO is the first less the second, in expectation over the noise.
        """
        posterior = self.encode(x, labels)
        decoded = self.decode(posterior.draw(noise), labels)
        return self.likelihood.log_likelihood(x, decoded), posterior.divergence()

    def loss(
        self, x: np.ndarray, noise: np.ndarray, labels: Labels = None, *, beta: float = 1.0
    ) -> Any:
        """-ELBO, the mean over the images, with the divergence weighted by beta."""
        log_likelihood, divergence = self.elbo(x, noise, labels)
        return beta * divergence.mean() - log_likelihood.mean()

    def log_weights(self, x: np.ndarray, noise: np.ndarray, labels: Labels = None) -> Array:
        """log p(x, z) / q(z | x) of z drawn with `noise` (..., N, Z): (..., N)."""
        posterior = self.encode(x, labels)
        z = posterior.draw(noise)
        log_p_x = self.likelihood.log_likelihood(x, self.decode(z, labels))
        log_p_z = -0.5 * np.square(z).sum(axis=-1)  # in both 2 pi is left out
        log_volume = posterior.log_variance.sum(axis=-1)
        log_q_z = -0.5 * (np.square(noise).sum(axis=-1) + log_volume)
        return log_p_x + log_p_z - log_q_z

    def iwae(self, x: np.ndarray, noise: np.ndarray, labels: Labels = None) -> Array:
        """The bound of k draws, from `noise` (k, N, Z): (N,)."""
        log_w = self.log_weights(x, noise, labels)  # (k, N)
        highest = np.max(log_w, axis=0)
        mean = np.mean(np.exp(log_w - highest), axis=0)
        return highest + np.log(mean)

    def bounds(
        self,
        x: np.ndarray,
        labels: Labels = None,
        *,
        k: int = 0,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """The ELBO of each image, or with k > 0 its bound of k draws, in nats: (N,).

        Nothing is recorded, and only some images are taken at a time.
        """
        found = [np.zeros(0, np.float32)]
        size = max(1, BATCH // max(1, k))
        with tg.no_grad():
            for start in range(0, len(x), size):
                rows = slice(start, start + size)
                some = x[rows]
                classes = None if labels is None else labels[rows]
                shape = (max(1, k), len(some), self.config.latent_dim)
                noise = rng.standard_normal(shape, dtype=np.float32)
                if k:
                    bound: Any = self.iwae(some, noise, classes)
                else:
                    log_likelihood, divergence = self.elbo(some, noise[0], classes)
                    bound = log_likelihood - divergence
                found.append(bound.numpy())
        return np.concatenate(found)

    def class_bounds(self, x: np.ndarray, *, k: int = 10, rng: np.random.Generator) -> np.ndarray:
        """Bounds on log p(x | class) by k draws, for each class, in nats: (N, K).

        Raises ValueError for a model without classes.
        """
        if not self.config.num_classes:
            raise ValueError("this VAE has no classes; train one with num_classes")
        bounds = []
        for label in range(self.config.num_classes):
            labels = np.full(len(x), label)
            bounds.append(self.bounds(x, labels, k=k, rng=rng))
        return np.stack(bounds, axis=1)

    # ------------------------------------------------------------------------------- images, codes

    def observed(self, images: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """Grey images as the likelihood has them, flat: (N, H, W[, C]) -> (N, P)."""
        x = images.reshape(len(images), -1)
        return self.likelihood.observed(x, rng)

    def latent_means(self, x: np.ndarray, labels: Labels = None) -> np.ndarray:
        """The mean of q(z | x): (N, P) -> (N, Z)."""
        with tg.no_grad():
            mean: Any = self.encode(x, labels).mean
        return np.asarray(mean)

    def divergences(self, x: np.ndarray, labels: Labels = None) -> np.ndarray:
        """How much each latent dimension says of images, in nats, in the mean: (N, P) -> (Z,)."""
        with tg.no_grad():
            each: Any = self.encode(x, labels).divergences()
        return np.asarray(each).mean(axis=0)

    def means(self, z: np.ndarray, labels: Labels = None) -> np.ndarray:
        """The mean of p(x | z) as images in [0, 1]: (N, Z) -> (N, H, W[, C])."""
        shape = self.config.image_shape
        images = [np.zeros((0, *shape), np.float32)]
        with tg.no_grad():
            for start in range(0, len(z), BATCH):
                rows = slice(start, start + BATCH)
                classes = None if labels is None else labels[rows]
                decoded = self.decode(z[rows], classes).numpy()  # (B, P)
                images.append(self.likelihood.mean(decoded).reshape(-1, *shape))
        return np.clip(np.concatenate(images), 0, 1)

    def reconstruct(self, x: np.ndarray, labels: Labels = None) -> np.ndarray:
        """Images (N, P), encoded and decoded, each by the mean: (N, H, W[, C])."""
        return self.means(self.latent_means(x, labels), labels)

    def sample(
        self,
        n: int,
        labels: Labels = None,
        *,
        drawn: bool = False,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """n images in [0, 1], (n, H, W[, C]), decoded from z ~ N(0, 1).

        They are the means of p(x | z); with `drawn`, draws from it. Without `labels` a model that
        has classes draws any.
        """
        if labels is None and self.config.num_classes:
            labels = rng.integers(self.config.num_classes, size=n)
        z = rng.standard_normal((n, self.config.latent_dim), dtype=np.float32)
        images = self.means(z, labels)
        return np.clip(self.likelihood.draw(images, rng), 0, 1) if drawn else images

    def inpaint(
        self,
        images: np.ndarray,
        known: np.ndarray,
        labels: Labels = None,
        *,
        steps: int = 100,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draw the pixels where `known` (N, H, W) is False; the others stay exactly as they are.

        Encoded and decoded again and again, with the known pixels put back each time (Rezende et
        al. 2014, arXiv 1401.4082, appendix F). The missing pixels are means of the last p(x | z).
        """
        each_channel = to_mask(known, images)
        filled = self.sample(len(images), labels, rng=rng)
        shape = len(images), self.config.latent_dim
        for _ in range(steps):
            drawn = self.likelihood.draw(filled, rng)
            seen = self.likelihood.observed(images, rng)
            x = np.where(each_channel, seen, drawn).reshape(len(images), -1)
            noise = rng.standard_normal(shape, dtype=np.float32)
            with tg.no_grad():
                z: Any = self.encode(x, labels).draw(noise)
            filled = self.means(z.numpy(), labels)
        return np.where(each_channel, images, filled)


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
