"""The diffusion process, without a network (Ho, Jain & Abbeel 2020, arXiv 2006.11239).

    q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I)    noise is added  (equation 4)
    q(x_(t-1) | x_t, x_0) = N(mu_tilde(x_t, x_0), beta_tilde_t I)   the posterior   (equations 6, 7)

Step by step a network's predictions turn noise into an image (algorithm 2), or in fewer steps by
DDIM (Song et al. 2021, arXiv 2010.02502, equation 12). Besides: the cosine schedule (Nichol &
Dhariwal 2021, arXiv 2102.09672, equation 17), and prediction of x_0 or of
v = sqrt(alpha_bar) epsilon - sqrt(1 - alpha_bar) x_0 (Salimans & Ho 2022, arXiv 2202.00512).

The terms of the variational bound on log p(x_0) (equation 5), for steps of any length s < t
(Kingma et al. 2021, arXiv 2107.00630, equation 13):

    KL(q(x_s | x_t, x_0) || p(x_s | x_t)) = 1/2 (SNR_s - SNR_t) |x_0 - predicted x_0|^2
    SNR_t = alpha_bar_t / (1 - alpha_bar_t)

Timesteps are t = 1 ... T as in the paper; `alphas_cumprod[0]` = 1 is the image itself.

Deviation, on purpose: a predicted x_0 is clipped to [-1, 1] when sampling.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import log_ndtr

Images = np.ndarray  # (B, ...), in [-1, 1] or noisy
Timesteps = np.ndarray  # integers (B,)
Network = Callable[[Images, Timesteps], Images]  # (x_t, t) -> prediction
PREDICTIONS = ("epsilon", "x0", "v")


def betas(schedule: str, timesteps: int) -> np.ndarray:
    """The variances beta_1 ... beta_T, float64 (T,).

    "linear": from 1e-4 to .02 at T = 1000, scaled by 1000 / T for others (Ho et al. 2020,
    section 4). "cosine": alpha_bar_t = cos^2((t / T + s) / (1 + s) pi / 2) up to a factor,
    with s = .008. Each is at most .999. Raises ValueError for another schedule.
    """
    if schedule == "linear":
        of_a_thousand = np.linspace(1e-4, 0.02, timesteps)
        scaled = of_a_thousand * 1000 / timesteps
        return np.asarray(np.clip(scaled, 0, 0.999))
    if schedule == "cosine":
        share = np.arange(timesteps + 1) / timesteps
        angle = (share + 0.008) / 1.008 * np.pi / 2
        alpha_bar = np.cos(angle) ** 2
        alpha = alpha_bar[1:] / alpha_bar[:-1]
        return np.asarray(1 - alpha).clip(0, 0.999)
    raise ValueError(f"no schedule is called {schedule!r}; there are linear, cosine")


class Diffusion:
    """The process without the network: adding noise, and the arithmetic of taking it away.

    `beta`, `alphas_cumprod` (T + 1,) are float64, indexed by t = 0 ... T. Images (B, ...) are in
    [-1, 1], timesteps (B,).
    """

    def __init__(self, schedule: str, timesteps: int, prediction_type: str = "epsilon") -> None:
        if prediction_type not in PREDICTIONS:
            known = ", ".join(PREDICTIONS)
            raise ValueError(f"a network predicts one of {known}, not {prediction_type!r}")
        self.timesteps = timesteps
        self.prediction_type = prediction_type
        self.beta = np.concatenate([[0.0], betas(schedule, timesteps)])
        self.alphas_cumprod = np.cumprod(1 - self.beta)

    def scales(self, t: Timesteps, like: Images) -> tuple[Images, Images]:
        """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), (B, 1, ...), in the type of the images."""
        ones = [1] * (like.ndim - 1)
        alpha_bar = self.alphas_cumprod[t].reshape(-1, *ones)
        signal = np.sqrt(alpha_bar)
        sigma = np.sqrt(1 - alpha_bar)
        return signal.astype(like.dtype), sigma.astype(like.dtype)

    def q_sample(self, x0: Images, t: Timesteps, noise: Images) -> Images:
        """x_t from x_0 and standard normal noise, in one go (equation 4)."""
        signal, sigma = self.scales(t, x0)
        return np.asarray(signal * x0 + sigma * noise)

    def back(self, x: Images, s: int, t: int, *, rng: np.random.Generator) -> Images:
        """x_t from x_s, s < t: the forward process goes on."""
        kept = self.alphas_cumprod[t] / self.alphas_cumprod[s]
        noise = rng.standard_normal(x.shape, dtype=np.float32)
        return float(np.sqrt(kept)) * x + float(np.sqrt(1 - kept)) * noise

    def target(self, x0: Images, t: Timesteps, noise: Images) -> Images:
        """What the network is to predict from x_t."""
        if self.prediction_type == "epsilon":
            return noise
        if self.prediction_type == "x0":
            return x0
        signal, sigma = self.scales(t, x0)
        return np.asarray(signal * noise - sigma * x0)

    def x0_and_epsilon(self, x: Images, t: Timesteps, predicted: Images) -> tuple[Images, Images]:
        """The image and the noise in x_t that a prediction stands for.

        The image is clipped to [-1, 1].
        """
        signal, sigma = self.scales(t, x)
        match self.prediction_type:
            case "epsilon":
                x0 = (x - sigma * predicted) / signal
            case "x0":
                x0 = predicted
            case _:
                x0 = signal * x - sigma * predicted
        x0 = np.clip(x0, -1, 1)
        return x0, (x - signal * x0) / sigma

    def posterior(self, x0: Images, x: Images, t: int) -> tuple[Images, float]:
        """Mean and variance of q(x_(t-1) | x_t, x_0) (equations 6 and 7)."""
        beta = self.beta[t]
        before = self.alphas_cumprod[t - 1]
        now = self.alphas_cumprod[t]
        weight_x0 = np.sqrt(before) * beta / (1 - now)
        weight_x = np.sqrt(1 - beta) * (1 - before) / (1 - now)
        mean = float(weight_x0) * x0 + float(weight_x) * x
        variance = (1 - before) / (1 - now) * beta
        return mean, float(variance)

    def ancestral_step(
        self, network: Network, x: Images, t: int, *, rng: np.random.Generator
    ) -> tuple[Images, Images]:
        """One step of algorithm 2: x_(t-1) from x_t, and the x_0 that was predicted."""
        timesteps = np.full(len(x), t)
        predicted = network(x, timesteps)
        x0, _ = self.x0_and_epsilon(x, timesteps, predicted)
        mean, variance = self.posterior(x0, x, t)
        noise = rng.standard_normal(x.shape, dtype=np.float32)
        sigma = float(np.sqrt(variance))
        return mean + sigma * noise, x0

    def ddim_step(
        self,
        network: Network,
        x: Images,
        t: int,
        s: int,
        eta: float,
        *,
        rng: np.random.Generator,
    ) -> tuple[Images, Images]:
        """x_s from x_t, s < t (Song et al. 2021, equation 12), and the x_0 that was predicted.

        eta = 0 is deterministic; eta = 1 and s = t - 1 is the ancestral step.
        """
        timesteps = np.full(len(x), t)
        predicted = network(x, timesteps)
        x0, epsilon = self.x0_and_epsilon(x, timesteps, predicted)
        before = self.alphas_cumprod[s]
        now = self.alphas_cumprod[t]
        variance = (1 - before) / (1 - now) * (1 - now / before)
        sigma = eta * np.sqrt(variance)  # equation 16
        rest = max(0.0, 1 - before - sigma**2)
        mean = float(np.sqrt(before)) * x0
        mean = mean + float(np.sqrt(rest)) * epsilon
        noise = rng.standard_normal(x.shape, dtype=np.float32)
        return mean + float(sigma) * noise, x0

    # ---------------------------------------------------------------- the variational bound's terms

    def snr(self, t: int) -> float:
        """The ratio of signal to noise in x_t."""
        return float(self.alphas_cumprod[t] / (1 - self.alphas_cumprod[t]))

    def prior_divergence(self, x0: Images) -> np.ndarray:
        """L_T: KL(q(x_T | x_0) || N(0, 1)) of each image, in nats, (B,)."""
        signal = self.alphas_cumprod[self.timesteps]
        each = signal * np.square(x0) - signal - np.log1p(-signal)
        return 0.5 * of_images(each)

    def divergence(self, x0: Images, predicted: Images, t: int, s: int) -> np.ndarray:
        """L of the step from t to s > 0, in nats, (B,), by the image that is predicted from x_t."""
        weight = 0.5 * (self.snr(s) - self.snr(t))
        return weight * of_images(np.square(x0 - predicted))

    def log_likelihood(
        self, x0: Images, predicted: Images, t: int, num_levels: int = 256
    ) -> np.ndarray:
        """log p(x_0 | x_t) of the last step, in nats, (B,) (equation 13).

        A Gaussian about the predicted image gives each of `num_levels` levels its interval; the
        lowest and the highest have all beyond. Its variance is 1 / SNR_t: beta_1 / alpha_1 at
        t = 1.
        """
        precision = np.sqrt(self.snr(t))
        half = 1 / (num_levels - 1)  # of an interval
        low = np.where(x0 <= half - 1, -np.inf, (x0 - half - predicted) * precision)
        high = np.where(x0 >= 1 - half, np.inf, (x0 + half - predicted) * precision)
        mirrored = low > 0  # there 1 - cdf is accurate
        low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
        log_high, log_low = log_ndtr(high), log_ndtr(low)
        return of_images(log_high + np.log(-np.expm1(log_low - log_high)))


def of_images(each: np.ndarray) -> np.ndarray:
    """The sum over all but the first axis: (B, ...) -> (B,)."""
    return np.asarray(each.reshape(len(each), -1).sum(axis=1, dtype=np.float64))
