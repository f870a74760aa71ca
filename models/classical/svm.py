"""Support vector machines (Cortes & Vapnik 1995): the primal by its gradient, the dual by SMO.

Of two classes, y = 1 and -1, with the margin y_n f(x_n) and costs C_n:

    f(x) = w.x + b,  or with a kernel  f(x) = sum_n beta_n k(x_n, x) + b
    primal   least    |w|^2 / 2 + sum_n C_n max(0, 1 - y_n f(x_n))         the hinge loss, or its square
    dual     largest  sum_n y_n beta_n - beta' K beta / 2
             where    sum_n beta_n = 0  and  0 <= y_n beta_n <= C_n

(The beta_n are the y_n alpha_n of the papers, which saves most of their signs; Bordes et al. 2005.)
Both have the same value at the optimum. The gradient of the dual is g = y - K beta, and the optimum
is where no pair can gain (Karush, Kuhn & Tucker): with some b, g_n <= b wherever beta_n may still
rise, and g_n >= b wherever it may fall. This b is that of f, and what is missing to it is the
*violation*, the largest g_n of the first minus the smallest of the second.

SMO (Platt 1998) takes two of the beta, raises one and lowers the other by the same, which has a
solution in closed form, and goes on with the next pair. The pair is that of Fan, Chen & Lin (2005):
i of the largest g, j with which the dual then gains most, g_i - g_j squared over the curvature.

A squared hinge has no upper bounds, and 1 / (2 C_n) more on the diagonal of K.

Of many classes there is a machine for each pair, and they vote: one-vs-one, as in libsvm. The linear
primal has one machine for each class, against all others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Any, ClassVar

import numpy as np

from tinygrad_cv.typing import Array

from ..config import ImageConfig
from ..pretrained import Pretrained
from .kernel_ridge import squared_distances
from .logistic_regression import LinearClassifier, Parameters
from .nearest import flatten

KERNEL_BYTES = 2**29  # of all machines' kernel matrices; columns beyond that are computed again
LEAST_CURVATURE = 1e-12  # of a pair, where two examples have the same place

KernelFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (M, D), (N, D) -> (M, N)


@dataclass(frozen=True)
class SVMConfig(ImageConfig):
    """What makes a support vector machine on images."""

    model_type: ClassVar = "svm"

    num_labels: int = 10  # classes
    num_examples: int = 1200  # training images that it is made of, drawn at random
    kernel: Annotated[str, "rbf", "polynomial", "linear"] = "rbf"
    gamma: float = 0.5  # rbf: exp(-gamma |x - z|^2); polynomial: (gamma x.z + coef0)^degree
    degree: Annotated[int, 1, 10] = 3  # of the polynomial
    coef0: float = 1.0  # of the polynomial


def kernel_function(config: SVMConfig) -> KernelFunction:
    """k(x, z) of all rows of two arrays."""

    def linear(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.asarray(x @ z.T)

    def polynomial(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.asarray((config.gamma * linear(x, z) + config.coef0) ** config.degree)

    def rbf(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(-config.gamma * squared_distances(x, z)))

    return {"linear": linear, "polynomial": polynomial, "rbf": rbf}[config.kernel]


class Kernel:
    """The symmetric matrix of k on examples x (N, D), whole if it fits into so many bytes.

    Otherwise its columns are computed when somebody asks for them, and the latest are kept.
    """

    def __init__(self, k: KernelFunction, x: np.ndarray, room: int = KERNEL_BYTES) -> None:
        self.k, self.x = k, x
        N = len(x)
        self.kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self.most = max(2, room // (8 * N))  # columns
        self.matrix = k(x, x) if self.most >= N else None
        if self.matrix is not None:
            self.diagonal = self.matrix.diagonal().copy()
        else:
            singles = [k(x[n : n + 1], x[n : n + 1])[0, 0] for n in range(N)]
            self.diagonal = np.array(singles)

    def column(self, n: int) -> np.ndarray:
        """k(x, x_n), (N,)."""
        if self.matrix is not None:
            return self.matrix[n]
        if n in self.kept:
            self.kept.move_to_end(n)
            return self.kept[n]
        if len(self.kept) >= self.most:
            self.kept.popitem(last=False)
        self.kept[n] = self.k(self.x[n : n + 1], self.x)[0]
        return self.kept[n]

    def __matmul__(self, beta: np.ndarray) -> np.ndarray:
        """K beta, (N,)."""
        if self.matrix is not None:
            return np.asarray(self.matrix @ beta)
        used = np.flatnonzero(beta)
        total = np.zeros(len(beta))
        for some in np.array_split(used, 1 + len(used) // 500):
            total += self.k(self.x, self.x[some]) @ beta[some]
        return total


# ---------------------------------------------------------------------------------- the dual, by SMO


class Dual:
    """The dual of one machine: y (N,) of 1 and -1, costs C (N,), and beta on its way up.

    `squared` is for the squared hinge.
    """

    def __init__(
        self, kernel: Kernel, y: np.ndarray, costs: np.ndarray, *, squared: bool = False
    ) -> None:
        self.kernel, self.y = kernel, y
        self.extra = 1 / (2 * costs) if squared else np.zeros(len(y))  # on the diagonal
        self.diagonal = kernel.diagonal + self.extra
        most = np.full(len(y), np.inf) if squared else costs
        self.lower = np.where(y > 0, 0, -most)
        self.upper = np.where(y > 0, most, 0)
        self.beta = np.zeros(len(y))
        self.gradient = y.astype(float)  # y - K beta

    def column(self, n: int) -> np.ndarray:
        """Of the kernel, with what the loss adds to the diagonal."""
        column = self.kernel.column(n)
        if self.extra[n]:
            column = column.copy()
            column[n] += self.extra[n]
        return column

    def improve(self, updates: int, tolerance: float = 1e-3) -> int:
        """At most so many updates of pairs, until the violation is below the tolerance.

        Returns the number of updates.
        """
        beta, g, lower, upper = self.beta, self.gradient, self.lower, self.upper
        no_rise = np.where(beta < upper, 0, -np.inf)  # added to g where beta may not rise
        no_fall = np.where(beta > lower, 0, np.inf)
        for done in range(updates):
            i = int(np.argmax(g + no_rise))
            gap = (g[i] + no_rise[i]) - (g + no_fall)  # what a pair with i climbs, at first
            if not gap.max() > tolerance:
                return done
            column_i = self.column(i)
            curvature = self.diagonal[i] + self.diagonal - 2 * column_i
            np.maximum(curvature, LEAST_CURVATURE, out=curvature)
            np.maximum(gap, 0, out=gap)
            j = int(np.argmax(gap * gap / curvature))
            rise, fall = upper[i] - beta[i], beta[j] - lower[j]
            step = min(gap[j] / curvature[j], rise, fall)
            beta[i] = upper[i] if step == rise else beta[i] + step
            beta[j] = lower[j] if step == fall else beta[j] - step
            g -= step * (column_i - self.column(j))
            no_rise[i] = 0 if beta[i] < upper[i] else -np.inf
            no_rise[j] = 0
            no_fall[j] = 0 if beta[j] > lower[j] else np.inf
            no_fall[i] = 0
        return updates

    @property
    def ends(self) -> tuple[float, float]:
        """The largest g where beta may rise, and the smallest where it may fall; b lies between."""
        rising = self.gradient[self.beta < self.upper]
        falling = self.gradient[self.beta > self.lower]
        return float(rising.max(initial=-np.inf)), float(falling.min(initial=np.inf))

    @property
    def violation(self) -> float:
        """How far the beta are from the optimum: 0 there."""
        highest, lowest = self.ends
        return max(0.0, highest - lowest)

    @property
    def bias(self) -> float:
        """b: the mean g of the beta that are at no bound, or the middle of what is possible."""
        free = (self.beta > self.lower) & (self.beta < self.upper)
        if free.any():
            return float(self.gradient[free].mean())
        finite = [end for end in self.ends if np.isfinite(end)]
        return float(np.mean(finite)) if finite else 0.0

    @property
    def objective(self) -> float:
        """The value of the dual: beta' (y + g) / 2, since K beta = y - g."""
        return float(self.beta @ (self.y + self.gradient) / 2)


def example_costs(labels: np.ndarray, C: float, *, balanced: bool = False) -> np.ndarray:
    """C of each example (N,), or C N / (classes N_class): as much for each class."""
    if not balanced:
        return np.full(len(labels), C)
    present, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(C * len(labels) / (len(present) * counts[places]))


class SVM(Pretrained):
    """A machine for each pair of classes, on images (N, H, W[, C]).

    Machine p decides between the classes `pairs[p]`: above 0 it is the first.
    """

    config_class = SVMConfig

    examples: np.ndarray  # (N, D), float32
    coefficients: np.ndarray  # (P, N), beta of each machine; 0 for examples of other classes
    biases: np.ndarray  # (P,)

    def __init__(self, config: SVMConfig, *, rng: np.random.Generator | None = None) -> None:
        self.config = config
        self.pairs = tuple(combinations(range(config.num_labels), 2))
        N, P = config.num_examples, len(self.pairs)
        pixels = int(np.prod(config.image_shape))
        self.register_buffer("examples", np.zeros((N, pixels), np.float32))
        self.register_buffer("coefficients", np.zeros((P, N)))
        self.register_buffer("biases", np.zeros(P))

    def fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        C: float = 1.0,
        balanced: bool = False,
        tolerance: float = 1e-3,
    ) -> None:
        """Take the images as examples and find the optimum of each machine."""
        self.examples = flatten(images).astype(np.float32)
        for p, (members, dual) in enumerate(self.duals(labels, C=C, balanced=balanced)):
            while dual.improve(1000, tolerance):
                pass
            self.take_over(p, members, dual)

    def duals(
        self, labels: np.ndarray, *, C: float, balanced: bool = False, squared: bool = False
    ) -> list[tuple[np.ndarray, Dual]]:
        """Of each machine its examples, as places, and its dual at the start."""
        k = kernel_function(self.config)
        costs = example_costs(labels, C, balanced=balanced)
        x = self.examples.astype(np.float64)
        duals = []
        for first, second in self.pairs:
            members = np.flatnonzero((labels == first) | (labels == second))
            y = np.where(labels[members] == first, 1, -1)
            kernel = Kernel(k, x[members], KERNEL_BYTES // len(self.pairs))
            duals.append((members, Dual(kernel, y, costs[members], squared=squared)))
        return duals

    def take_over(self, p: int, members: np.ndarray, dual: Dual) -> None:
        """Let machine p be as its dual says."""
        self.coefficients[p, members] = dual.beta
        self.biases[p] = dual.bias

    @property
    def support_vectors(self) -> np.ndarray:
        """Places of the examples that any machine makes use of."""
        return np.flatnonzero(self.coefficients.any(axis=0))

    def decisions(self, images: np.ndarray) -> np.ndarray:
        """f of each machine, (N, P)."""
        used = self.support_vectors
        k = kernel_function(self.config)
        x, z = flatten(images).astype(np.float64), self.examples[used].astype(np.float64)
        return np.asarray(k(x, z) @ self.coefficients[:, used].T + self.biases)

    def scores(self, images: np.ndarray) -> np.ndarray:
        """The votes for each class, (N, num_labels), and below 1/3 how sure they are of them."""
        f = self.decisions(images)
        votes = np.zeros((len(f), self.config.num_labels))
        confidence = np.zeros(votes.shape)
        for p, (first, second) in enumerate(self.pairs):
            votes[:, first] += f[:, p] > 0
            votes[:, second] += f[:, p] <= 0
            confidence[:, first] += f[:, p]
            confidence[:, second] -= f[:, p]
        return np.asarray(votes + confidence / (3 * (1 + np.abs(confidence))))


# -------------------------------------------------------------------------- the primal, by its gradient


@dataclass(frozen=True)
class LinearSVMConfig(ImageConfig):
    """What makes a linear support vector machine on images."""

    model_type: ClassVar = "linear_svm"

    num_labels: int = 10  # classes


class LinearSVM(LinearClassifier):
    """Of each class a machine against all others, linear in the pixels; one machine for two."""

    config_class = LinearSVMConfig

    def forward(self, images: Any) -> Any:
        """Scores (N, num_labels) of images (N, H, W[, C])."""
        x = images.reshape(len(images), -1)  # (N, D)
        f = x @ self.weight.T + self.bias
        return np.concatenate([-f, f], axis=1) if self.config.num_labels == 2 else f


def signs(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """1 where a label (N,) is that of the machine, elsewhere -1: (N, K)."""
    ours = np.arange(num_labels) if num_labels > 2 else np.array([1])
    return np.where(labels[:, None] == ours, 1.0, -1.0)


def primal(
    parameters: Any, x: np.ndarray, y: np.ndarray, costs: np.ndarray, *, squared: bool = False
) -> Array:
    """The sum over all machines of the primal: x (N, D), y (N, K), costs (N,)."""
    margins = y * (x @ parameters["weight"].T + parameters["bias"])  # (N, K)
    losses = np.maximum(0, 1 - margins)
    if squared:
        losses = losses**2
    return np.sum(parameters["weight"] ** 2) / 2 + np.sum(costs[:, None] * losses)


def subgradient_step(
    parameters: Parameters, gradient: Parameters, step: int, reach: float
) -> Parameters:
    """Step number `step`, from 0 on, down the primal, which curves by 1 in each weight.

    The size is 1 / (step + reach), where Pegasos (Shalev-Shwartz et al. 2007) has 1 / (step + 1),
    which is far too long at first: `reach` is how much the gradient can change, the sum of
    C_n (|x_n|^2 + 1).
    """
    size = 1 / (step + reach)
    return {name: now - size * gradient[name] for name, now in parameters.items()}
