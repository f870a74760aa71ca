"""Support vector machines (Cortes & Vapnik 1995): the primal by its gradient, the dual by SMO.

Of two classes, y = 1 and -1, with the margin y_n f(x_n) and costs C_n:

    f(x) = w.x + b,  or with a kernel  f(x) = sum_n beta_n k(x_n, x) + b
    primal   least    |w|^2 / 2 + sum_n C_n max(0, 1 - y_n f(x_n)), the hinge loss, or its square
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

Of many classes there is a machine for each pair, and they vote: one-vs-one, as in libsvm. The
linear primal has one machine for each class, against all others.
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
    kernel: Annotated[str, "rbf", "polynomial", "linear"] = "rbf"  # or polynomial, linear
    gamma: float = 0.5  # rbf: exp(-gamma |x - z|^2); polynomial: (gamma x.z + coef0)^degree
    degree: Annotated[int, 1, 10] = 3  # of the polynomial
    coef0: float = 1.0  # of the polynomial


def kernel_function(config: SVMConfig) -> KernelFunction:
    """k(x, z) of all rows of two arrays."""
    gamma, coef0 = config.gamma, config.coef0

    def linear(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        return x @ z.T

    def polynomial(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        scaled = gamma * linear(x, z)
        return (scaled + coef0) ** config.degree

    def rbf(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        exponents = -gamma * squared_distances(x, z)
        return np.exp(exponents)

    kernels = {
        "linear": linear,
        "polynomial": polynomial,
        "rbf": rbf,
    }
    return kernels[config.kernel]


class Kernel:
    """The symmetric matrix of k on examples x (N, D), whole if it fits into so many bytes.

    Otherwise its columns are computed when somebody asks for them, and the latest are kept.
    """

    def __init__(
        self,
        k: KernelFunction,
        x: np.ndarray,
        room: int = KERNEL_BYTES,
    ) -> None:
        self.k, self.x = k, x
        self.matrix: np.ndarray | None = None
        self.kept: OrderedDict[int, np.ndarray] = OrderedDict()
        column_bytes = 8 * len(x)
        self.most = max(2, room // column_bytes)  # columns
        if self.most >= len(x):
            self.matrix = k(x, x)
            self.diagonal = np.diagonal(self.matrix)
        else:
            singles = [k(row, row) for row in x[:, None]]
            self.diagonal = np.ravel(singles)

    def column(self, n: int) -> np.ndarray:
        """k(x, x_n), (N,)."""
        if self.matrix is not None:
            return self.matrix[n]
        if n in self.kept:
            self.kept.move_to_end(n)
            return self.kept[n]
        if len(self.kept) >= self.most:
            self.kept.popitem(last=False)
        row = self.x[None, n]
        column = self.k(row, self.x)[0]
        self.kept[n] = column
        return column

    def __matmul__(self, beta: np.ndarray) -> np.ndarray:
        """K beta, (N,)."""
        if self.matrix is not None:
            return self.matrix @ beta
        total = np.zeros(len(beta))
        used = np.flatnonzero(beta)
        blocks = 1 + len(used) // 500
        for some in np.array_split(used, blocks):
            columns = self.k(self.x, self.x[some])
            total += columns @ beta[some]
        return total


# --------------------------------------------------------------------------- the dual, by SMO


class Dual:
    """The dual of one machine: y (N,) of 1 and -1, costs C (N,), and beta on its way up.

    `squared` is for the squared hinge.
    """

    def __init__(
        self,
        kernel: Kernel,
        y: np.ndarray,
        costs: np.ndarray,
        *,
        squared: bool = False,
    ) -> None:
        self.kernel, self.y = kernel, y
        self.extra = np.zeros(len(y))  # on the diagonal
        most = costs
        if squared:
            self.extra = 1 / (2 * costs)
            most = np.full(len(y), np.inf)
        self.diagonal = kernel.diagonal + self.extra
        positive = y > 0
        self.lower = np.where(positive, 0, -most)
        self.upper = np.where(positive, most, 0)
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
        beta, g = self.beta, self.gradient
        lower, upper = self.lower, self.upper
        no_rise = np.where(beta < upper, 0, -np.inf)  # added to g where beta may not rise
        no_fall = np.where(beta > lower, 0, np.inf)
        for done in range(updates):
            rising, falling = g + no_rise, g + no_fall
            i = int(np.argmax(rising))
            gap = rising[i] - falling  # what a pair with i climbs, at first
            if not gap.max() > tolerance:
                return done
            column = self.column(i)
            curvature = self.diagonal - 2 * column
            curvature += self.diagonal[i]
            np.maximum(curvature, LEAST_CURVATURE, out=curvature)
            np.maximum(gap, 0, out=gap)
            j = int(np.argmax(gap * gap / curvature))
            most_rise = upper[i] - beta[i]
            most_fall = beta[j] - lower[j]
            best = gap[j] / curvature[j]
            step = min(best, most_rise, most_fall)
            beta[i] += step
            beta[j] -= step
            if step == most_rise:
                beta[i] = upper[i]  # without what was rounded
                no_rise[i] = -np.inf
            if step == most_fall:
                beta[j] = lower[j]
                no_fall[j] = np.inf
            no_rise[j] = no_fall[i] = 0
            g -= step * (column - self.column(j))
        return updates

    @property
    def ends(self) -> tuple[float, float]:
        """The largest g where beta may rise, and the smallest where it may fall; b lies between."""
        rising = self.gradient[self.beta < self.upper]
        falling = self.gradient[self.beta > self.lower]
        highest = rising.max(initial=-np.inf)
        lowest = falling.min(initial=np.inf)
        return float(highest), float(lowest)

    @property
    def violation(self) -> float:
        """How far the beta are from the optimum: 0 there."""
        highest, lowest = self.ends
        return max(0.0, highest - lowest)

    @property
    def bias(self) -> float:
        """b: the mean g of the beta that are at no bound, or the middle of what is possible."""
        above = self.beta > self.lower
        below = self.beta < self.upper
        free = self.gradient[above & below]
        if len(free):
            return float(free.mean())
        finite = [end for end in self.ends if np.isfinite(end)]
        return float(np.mean(finite))

    @property
    def objective(self) -> float:
        """The value of the dual: beta' (y + g) / 2, since K beta = y - g."""
        twice = self.beta @ (self.y + self.gradient)
        return float(twice / 2)


def example_costs(
    labels: np.ndarray,
    C: float,
    *,
    balanced: bool = False,
) -> np.ndarray:
    """C of each example (N,), or C N / (classes N_class): as much for each class."""
    if not balanced:
        return np.full(len(labels), C)
    counts = np.bincount(labels)
    present = np.count_nonzero(counts)
    usual = len(labels) / present
    return C * usual / counts[labels]


class Machine(Dual):
    """The dual of machine `number` of several, whose examples are `members` of all."""

    number: int
    members: np.ndarray


class SVM(Pretrained):
    """A machine for each pair of classes, on images (N, H, W[, C]).

    Machine p decides between the classes `pairs[p]`: above 0 it is the first.
    """

    config_class = SVMConfig

    examples: np.ndarray  # (N, D), float32
    coefficients: np.ndarray  # (P, N), beta of each machine; 0 for examples of other classes
    biases: np.ndarray  # (P,)

    def __init__(
        self,
        config: SVMConfig,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.config = config
        classes = range(config.num_labels)
        self.pairs = tuple(combinations(classes, 2))
        P, N = len(self.pairs), config.num_examples
        D = int(np.prod(config.image_shape))
        self.register_buffer("examples", np.zeros((N, D), np.float32))
        self.register_buffer("coefficients", np.zeros((P, N)))
        self.register_buffer("biases", np.zeros(P))

    def fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        tolerance: float = 1e-3,
        **options: Any,
    ) -> None:
        """Take the images as examples and find the optimum of each machine.

        The options are those of `duals`.
        """
        self.examples = flatten(images).astype(np.float32)
        for dual in self.duals(labels, **options):
            while dual.improve(1000, tolerance):
                pass
            self.take_over(dual)

    def duals(
        self,
        labels: np.ndarray,
        *,
        C: float = 1.0,
        balanced: bool = False,
        squared: bool = False,
    ) -> list[Machine]:
        """The dual of each machine that has examples, at the start."""
        k = kernel_function(self.config)
        costs = example_costs(labels, C, balanced=balanced)
        x = self.examples.astype(np.float64)
        room = KERNEL_BYTES // len(self.pairs)
        duals = []
        for number, (first, second) in enumerate(self.pairs):
            of_first = labels == first
            members = np.flatnonzero(of_first | (labels == second))
            if not len(members):
                continue
            y = np.where(of_first[members], 1, -1)
            kernel = Kernel(k, x[members], room)
            dual = Machine(kernel, y, costs[members], squared=squared)
            dual.number, dual.members = number, members
            duals.append(dual)
        return duals

    def take_over(self, dual: Machine) -> None:
        """Let a machine be as its dual says."""
        self.coefficients[dual.number, dual.members] = dual.beta
        self.biases[dual.number] = dual.bias

    @property
    def support_vectors(self) -> np.ndarray:
        """Places of the examples that any machine makes use of."""
        used = self.coefficients.any(axis=0)
        return np.flatnonzero(used)

    def decisions(self, images: np.ndarray) -> np.ndarray:
        """f of each machine, (N, P)."""
        k = kernel_function(self.config)
        used = self.support_vectors
        x = flatten(images).astype(np.float64)
        z = self.examples[used].astype(np.float64)
        beta = self.coefficients[:, used]
        return k(x, z) @ beta.T + self.biases

    def scores(self, images: np.ndarray) -> np.ndarray:
        """The votes for each class, (N, num_labels), and below 1/3 how sure they are of them."""
        decisions = self.decisions(images)
        shape = (len(images), self.config.num_labels)
        votes = np.zeros(shape)
        confidence = np.zeros(shape)
        for f, (first, second) in zip(decisions.T, self.pairs, strict=True):
            votes[:, first] += f > 0
            votes[:, second] += f <= 0
            confidence[:, first] += f
            confidence[:, second] -= f
        size = 1 + np.abs(confidence)
        return votes + confidence / (3 * size)


# ----------------------------------------------------------------- the primal, by its gradient


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
        if self.config.num_labels > 2:
            return f
        return np.concatenate([-f, f], axis=1)


def signs(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """1 where a label (N,) is that of the machine, elsewhere -1: (N, K)."""
    machines = np.arange(num_labels)
    if num_labels == 2:
        machines = machines[1:]
    own = labels[:, None] == machines
    return np.where(own, 1.0, -1.0)


def primal(
    parameters: Any,
    x: np.ndarray,
    y: np.ndarray,
    costs: np.ndarray,
    *,
    squared: bool = False,
) -> Array:
    """The sum over all machines of the primal: x (N, D), y (N, K), costs (N,)."""
    weight, bias = parameters["weight"], parameters["bias"]
    margins = y * (x @ weight.T + bias)  # (N, K)
    losses = np.maximum(0, 1 - margins)
    if squared:
        losses = losses**2
    return np.sum(weight**2) / 2 + np.sum(costs @ losses)


def subgradient_step(
    parameters: Parameters,
    gradient: Parameters,
    step: int,
    reach: float,
) -> Parameters:
    """Step number `step`, from 0 on, down the primal, which curves by 1 in each weight.

    The size is 1 / (step + reach), where Pegasos (Shalev-Shwartz et al. 2007) has 1 / (step + 1),
    which is far too long at first: `reach` is how much the gradient can change, the sum of
    C_n (|x_n|^2 + 1).
    """
    size = 1 / (step + reach)
    after = {}
    for name, now in parameters.items():
        after[name] = now - size * gradient[name]
    return after
