"""Logistic regression (Cox 1958), of two classes or of many, and four ways to its optimum.

    z = W x + b                     logits; of two classes z = (0, w x + b)
    p(class | x) = softmax(z)
    F(W, b) = mean over n of -log p(label_n | x_n) + l2/2 |W|^2 + l1 |W|_1

F is convex, so whatever goes downhill ends in the same place; what differs is how soon:

- `lbfgs`: L-BFGS (Liu & Nocedal 1989), SciPy's, driven by the engine's gradient;
- `newton`: Newton's method by the engine's Hessian, a few steps, but each solves a system as large
  as there are weights;
- `ProximalGradient`: where |W|_1 has a kink a gradient step is followed by the proximal map of
  l1 |W|_1, which moves each weight towards 0 and keeps it there: ISTA, and with momentum FISTA
  (Beck & Teboulle 2009).

Scikit-learn's C is 1 / (l2 N).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, optim
from tinygrad_cv.typing import Array

from ..config import ImageConfig
from ..pretrained import Pretrained

LARGEST_HESSIAN = 2000  # weights, beyond which Newton's method is refused
ARMIJO = 1e-4  # share of the decrease that the gradient promises, which a Newton step must bring

Parameters = dict[str, np.ndarray]  # weight (K, D) and bias (K,); K = 1 for two classes
Objective = Callable[[Any], Any]  # of Parameters, arrays or tensors


@dataclass(frozen=True)
class LogisticRegressionConfig(ImageConfig):
    """What makes a logistic regression on images."""

    model_type: ClassVar = "logistic_regression"

    num_labels: int = 10  # classes


class LinearClassifier(Pretrained):
    """Weights (K, D) and biases (K,), at first 0, of images of D pixels."""

    def __init__(
        self,
        config: Any,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.config = config
        K = num_rows(config.num_labels)
        D = int(np.prod(config.image_shape))
        self.weight = nn.parameter(np.zeros((K, D)))
        self.bias = nn.parameter(np.zeros(K))

    @property
    def parameters_as_arrays(self) -> Parameters:
        """Copies of the weights, as the methods take them; setting it takes theirs over."""
        state = self.state_dict()
        return {name: array.copy() for name, array in state.items()}

    @parameters_as_arrays.setter
    def parameters_as_arrays(self, parameters: Parameters) -> None:
        self.load_state_dict(parameters)


class LogisticRegression(LinearClassifier):
    """Logits (N, num_labels) of images (N, H, W[, C]), linear in the pixels."""

    config_class = LogisticRegressionConfig

    def forward(self, images: Any) -> Any:
        x = images.reshape(len(images), -1)  # (N, D)
        return logits({"weight": self.weight, "bias": self.bias}, x)


def num_rows(num_labels: int) -> int:
    """Rows of W: one for two classes, otherwise one for each."""
    return 1 if num_labels == 2 else num_labels


# ---------------------------------------------------------------------------------- the objective


def logits(parameters: Any, x: Array) -> Array:
    """(N, classes) of x (N, D); that of class 0 is 0 if there are two."""
    weight, bias = parameters["weight"], parameters["bias"]
    z = x @ weight.T + bias  # (N, K)
    if z.shape[1] > 1:
        return z
    zeros = np.zeros(z.shape)
    return np.concatenate([zeros, z], axis=1)


def smooth_objective(
    parameters: Any,
    x: np.ndarray,
    labels: np.ndarray,
    l2: float,
) -> Array:
    """F without its kinks: the mean cross-entropy, and l2/2 |W|^2."""
    z = logits(parameters, x)
    loss = kernels.cross_entropy(z, labels)
    squares = np.sum(parameters["weight"] ** 2)
    return loss + l2 / 2 * squares


def objective(
    parameters: Any,
    x: np.ndarray,
    labels: np.ndarray,
    l2: float = 0.0,
    l1: float = 0.0,
) -> Array:
    """F, for x (N, D) and labels (N,)."""
    sizes = np.abs(parameters["weight"])
    smooth = smooth_objective(parameters, x, labels, l2)
    return smooth + l1 * np.sum(sizes)


# ------------------------------------------------------------------------- four ways to its optimum


def lbfgs(
    f: Objective,
    parameters: Parameters,
    limit: int = 10_000,
) -> Parameters:
    """Where a smooth f is smallest, as far as rounding shows it, or after `limit` iterations."""
    options = {
        "ftol": 1e-15,
        "gtol": 1e-8,
    }
    return optim.minimize(f, parameters, limit=limit, options=options)


def newton(f: Objective, parameters: Parameters) -> Parameters:
    """One iteration of Newton's method, its step halved until f falls as the gradient promises.

    Of all solutions of H d = -gradient it takes the shortest, since a constant added to all biases
    changes nothing, and H is singular. Raises ValueError for more weights than fit a Hessian.
    """
    weight, bias = parameters["weight"], parameters["bias"]
    if weight.size + bias.size > LARGEST_HESSIAN:
        raise ValueError(
            f"newton: the Hessian of {weight.size + bias.size} weights is too large, the limit is "
            f"{LARGEST_HESSIAN}; take lbfgs"
        )

    def nested(flat: Any) -> Any:
        return {
            "weight": flat[: weight.size].reshape(weight.shape),
            "bias": flat[weight.size :],
        }

    def f_of_flat(flat: Any) -> Any:
        return f(nested(flat))

    flat = np.concatenate([weight.ravel(), bias])  # (P,)
    value, gradient = tg.value_and_grad(f_of_flat)(flat)
    curvature = tg.hessian(f_of_flat)(flat)  # (P, P)
    direction, *_ = np.linalg.lstsq(curvature, -gradient, rcond=1e-12)
    promised = ARMIJO * gradient @ direction
    size = 1.0
    while size > 1e-10:  # below that, rounding hides what is left to gain
        after = flat + size * direction
        if f_of_flat(after) <= value + size * promised:
            return nested(after)
        size /= 2
    return parameters


def soft_threshold(w: np.ndarray, t: float) -> np.ndarray:
    """Each w moved by t towards 0, and not beyond: the proximal map of t |w|_1."""
    left = np.maximum(np.abs(w) - t, 0)
    return np.sign(w) * left


def lipschitz(x: np.ndarray, num_labels: int, l2: float) -> float:
    """A bound on how fast the gradient of the smooth objective changes, of x (N, D).

    The Hessian of cross-entropy in the logits is at most 1/2, for two classes 1/4 (Böhning 1992).
    """
    ones = np.ones(len(x))
    with_one = np.column_stack([x, ones])
    squares = np.linalg.eigvalsh(with_one.T @ with_one)
    of_logits = 1 / 4 if num_labels == 2 else 1 / 2
    return float(of_logits * squares[-1] / len(x) + l2)


class ProximalGradient(nn.Module):
    """ISTA, or with `momentum` FISTA: what it remembers from one iteration to the next.

    FISTA takes its gradient ahead of where it is, along its last move. Where that points uphill it
    forgets its speed, after which it converges as fast as the curvature allows (O'Donoghue &
    Candès 2015).
    """

    before_weight: np.ndarray
    before_bias: np.ndarray
    t: np.ndarray  # (), grows with the momentum

    def __init__(
        self,
        parameters: Parameters,
        *,
        momentum: bool = True,
    ) -> None:
        self.momentum = momentum
        weight, bias = parameters["weight"], parameters["bias"]
        self.register_buffer("before_weight", weight.copy())
        self.register_buffer("before_bias", bias.copy())
        self.register_buffer("t", np.ones(()))

    def iterate(
        self,
        f: Objective,
        parameters: Parameters,
        size: float,
        l1: float = 0.0,
    ) -> Parameters:
        """One step of this size, 1 / `lipschitz`, on f + l1 |W|_1, whose smooth part is f."""
        t = 1.0
        if self.momentum:
            t = (1 + np.sqrt(1 + 4 * self.t**2)) / 2
        speed = (self.t - 1) / t
        before = {
            "weight": self.before_weight,
            "bias": self.before_bias,
        }
        ahead = {}
        for name, now in parameters.items():
            ahead[name] = now + speed * (now - before[name])
        gradient = tg.grad(f)(ahead)
        after = {name: at - size * gradient[name] for name, at in ahead.items()}
        after["weight"] = soft_threshold(after["weight"], size * l1)
        uphill = 0.0
        for name, now in parameters.items():
            back = ahead[name] - after[name]
            uphill += np.sum(back * (after[name] - now))
        self.t = np.asarray(1.0 if uphill > 0 else t)
        self.before_weight = parameters["weight"]
        self.before_bias = parameters["bias"]
        return after
