"""Hidden Markov models, fitted by Baum-Welch (Baum et al. 1970; letters as in Rabiner 1989).

    p(x, z) = pi[z_1] b[z_1](x_1) A[z_1, z_2] b[z_2](x_2) ... A[z_(T-1), z_T] b[z_T](x_T)

A sequence of hidden states z is a Markov chain; each x_t depends on its state alone. The emissions
b are symbols with probabilities, or Gaussians. Sums over all S^T paths are taken state by state:

    alpha_t(j) = b_j(x_t) sum_i alpha_(t-1)(i) A[i, j]      forward:   p(x_1 ... x_t, z_t = j)
    beta_t(i) = sum_j A[i, j] b_j(x_(t+1)) beta_(t+1)(j)    backward:  p(x_(t+1) ... x_T | z_t = i)
    gamma_t(i) = alpha_t(i) beta_t(i) / p(x)                posterior: p(z_t = i | x)

**Forward-backward is backprop.** Only the forward recursion is a model; the backward one is its
derivative. The gradient of log p(x) with respect to log b_i(x_t) is p(z_t = i | x), with respect to
log A[i, j] the expected number of moves from i to j: backpropagation through alpha is the E-step
(Eisner 2016, "Inside-outside and forward-backward algorithms are just backprop"):

>>> import numpy as np
>>> import tinygrad_cv as tg
>>> hmm = HiddenMarkovModel(3, Symbols(3, 4, rng=np.random.default_rng(0)))
>>> batch = Sequences(np.array([[0, 3, 1, 1, 2], [2, 2, 0, 0, 0]]), np.array([5, 3]))
>>> log_pi, log_A, log_b, lengths = hmm.logarithms(batch)
>>> def total(log_A, log_b):
...     return np.sum(log_likelihood(log_pi, log_A, log_b, lengths))
>>> moves, states = tg.grad(total, argnums=(0, 1))(log_A, log_b)  # by backpropagation
>>> expected = hmm.expect(batch)  # by hand
>>> np.allclose(moves, expected.moves), np.allclose(states, expected.states)
(True, True)

What keeps the fit from what few data pretend is in the objective, so that each iteration raises it:
`pseudo_count` moves that were seen beforehand (a Dirichlet prior), and the floor of the covariances
(see `covariances.py`). Deviation from Rabiner, on purpose: everything is in logarithms, in place of
his scaling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from tinygrad_cv import nn, special
from tinygrad_cv.typing import Array

from ..config import ImageConfig, NonNegative, no_class
from ..pretrained import Pretrained
from .covariances import Gaussians, Structure
from .discrete import draw, log, log_dirichlet, shares
from .kmeans import kmeans
from .nearest import nearest

RANGE = 600  # exp of less than that, and of more than minus that, is an ordinary number
PAD = -1  # the state after a sequence's end


@dataclass(frozen=True)
class RowHMMConfig(ImageConfig):
    """What makes a hidden Markov model of the rows of images, for each class."""

    model_type: ClassVar = "hmm"

    num_classes: NonNegative = 10  # 0: one model for all images
    num_states: int = 24  # of each class
    covariance: Structure = "full"  # of a state's rows; or tied, diag, spherical
    floor: float = 0.05  # the least eigenvalue of a covariance
    pseudo_count: float = 0.1  # moves between each two states, as if seen in training
    segments: int = 8  # of an image, from top to bottom, each of which begins with its own states

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_states % self.segments:
            raise ValueError(
                f"num_states={self.num_states}: each of segments={self.segments} begins with as "
                "many, so a multiple is expected"
            )


class Sequences:
    """A batch of sequences x (N, T, ...), of which each has the first `lengths` (N,) steps.

    What is behind a sequence's end is not looked at. Without lengths all have length T. Raises
    ValueError unless each length is from 1 to T.
    """

    def __init__(self, x: np.ndarray, lengths: np.ndarray | None = None) -> None:
        N, T = x.shape[:2]
        self.x = x
        self.lengths = np.full(N, T) if lengths is None else np.asarray(lengths)
        inside = (self.lengths >= 1) & (self.lengths <= T)
        if self.lengths.shape != (N,) or not inside.all():
            raise ValueError(f"{N} sequences of at most {T} steps have the lengths {lengths}")

    @property
    def within(self) -> np.ndarray:
        """Which places are before the end of their sequence, (N, T)."""
        steps = np.arange(self.x.shape[1])
        return np.asarray(steps < self.lengths[:, None])

    @property
    def steps(self) -> np.ndarray:
        """All steps of all sequences, (M, ...)."""
        return np.asarray(self.x[self.within])


# -------------------------------------------------------------------------- sums over all the paths


def log_product(log_a: Array, log_b: Array) -> Array:
    """log(a @ b), (N, S), of log a (N, S) and log b (S, S)."""
    paths = log_a[:, :, None] + log_b  # (N, S, S)
    return special.logsumexp(paths, axis=1)


def log_likelihood(
    log_initial: Array,
    log_transition: Array,
    log_emissions: Array,
    lengths: np.ndarray,
) -> Array:
    """log p(x_n), (N,), in plain NumPy on arrays or tensors.

    log_initial: log pi, (S,). log_transition: log A, (S, S). log_emissions: log b_i(x_t), of
    which each sequence has the first `lengths` (N,), (N, T, S).
    """
    alphas = forward(log_initial, log_transition, log_emissions, lengths)
    return special.logsumexp(alphas[-1], axis=1)


def forward(
    log_initial: Array,
    log_transition: Array,
    log_emissions: Array,
    lengths: np.ndarray,
    product: Callable[..., Array] = log_product,
) -> list[Array]:
    """log alpha_t, (N, S), for each t; after the end of a sequence it stays.

    For the arguments see `log_likelihood`. `product` may be `fast_log_product` for arrays.
    """
    T = log_emissions.shape[1]
    alpha = log_initial + log_emissions[:, 0]
    alphas = [alpha]
    for t in range(1, T):
        moved = product(alpha, log_transition) + log_emissions[:, t]
        alpha = np.where(goes_on(t, lengths), moved, alpha)
        alphas.append(alpha)
    return alphas


def backward(
    log_transition: np.ndarray,
    log_emissions: np.ndarray,
    lengths: np.ndarray,
) -> list[np.ndarray]:
    """log beta_t, (N, S), for each t; from the end of a sequence on it is 0."""
    N, T, S = log_emissions.shape
    beta = np.zeros((N, S))
    betas = [beta]
    for t in range(T - 1, 0, -1):
        ahead = log_emissions[:, t] + beta
        summed = fast_log_product(ahead, log_transition.T)
        beta = np.where(goes_on(t, lengths), summed, 0)
        betas.append(beta)
    return betas[::-1]


def goes_on(t: int, lengths: np.ndarray) -> np.ndarray:
    """Which sequences have an x_t, (N, 1)."""
    return (t < lengths)[:, None]


def fast_log_product(log_a: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    """`log_product` by one product of matrices, in place of N S S exponentials.

    The rows of a are scaled by their largest element. Where a result is so small beside it that
    what counts may have become 0, `log_product` does it again.
    """
    largest = log_a.max(axis=1, keepdims=True)
    scale = np.where(np.isfinite(largest), largest, 0)
    scaled = log(np.exp(log_a - scale) @ np.exp(log_b))
    product = scaled + scale
    faint = (scaled < -RANGE).any(axis=1)
    if faint.any():
        product[faint] = log_product(log_a[faint], log_b)
    return np.asarray(product)


def expected_moves(
    log_before: np.ndarray,
    log_transition: np.ndarray,
    log_ahead: np.ndarray,
) -> np.ndarray:
    """The sum over n of exp(log_before[n, i] + log_transition[i, j] + log_ahead[n, j]), (S, S).

    As `fast_log_product` by one product of matrices, but for rows that it could not hold.
    """
    largest = log_before.max(axis=1, keepdims=True)
    ahead = log_ahead + largest
    near = (ahead < RANGE / 2).all(axis=1)
    before = np.exp(log_before[near] - largest[near])
    moves = np.exp(log_transition) * (before.T @ np.exp(ahead[near]))
    far = ~near
    paths = log_before[far][:, :, None] + log_transition + log_ahead[far][:, None, :]
    return np.asarray(moves + np.exp(paths).sum(axis=0))


class Expected(NamedTuple):
    """What the E-step finds out, given all of x."""

    states: np.ndarray  # gamma: p(z_t = i | x), (N, T, S), 0 after a sequence's end
    moves: np.ndarray  # expected moves from state to state in all sequences, (S, S)
    log_likelihoods: np.ndarray  # log p(x_n), (N,)


def forward_backward(
    log_initial: np.ndarray,
    log_transition: np.ndarray,
    log_emissions: np.ndarray,
    lengths: np.ndarray,
) -> Expected:
    """The E-step. For the arguments see `log_likelihood`."""
    alphas = forward(log_initial, log_transition, log_emissions, lengths, fast_log_product)
    betas = backward(log_transition, log_emissions, lengths)
    log_p = special.logsumexp(alphas[-1], axis=1, keepdims=True)  # (N, 1)
    states = np.zeros(log_emissions.shape)
    moves = np.zeros(log_transition.shape)
    for t in range(log_emissions.shape[1]):
        gamma = np.exp(alphas[t] + betas[t] - log_p)
        states[:, t] = np.where(goes_on(t, lengths), gamma, 0)
        if t > 0:
            ahead = log_emissions[:, t] + betas[t] - log_p
            running = t < lengths
            moves += expected_moves(alphas[t - 1][running], log_transition, ahead[running])
    return Expected(states, moves, log_p[:, 0])


def viterbi(
    log_initial: np.ndarray,
    log_transition: np.ndarray,
    log_emissions: np.ndarray,
    lengths: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable states (N, T), PAD after a sequence's end, and log p(x, states), (N,).

    The forward recursion with the maximum in place of the sum (Viterbi 1967).
    """
    N, T, _ = log_emissions.shape
    best = log_initial + log_emissions[:, 0]  # (N, S)
    came_from = []
    for t in range(1, T):
        paths = best[:, :, None] + log_transition  # (N, S, S)
        came_from.append(paths.argmax(axis=1))
        moved = paths.max(axis=1) + log_emissions[:, t]
        best = np.where(goes_on(t, lengths), moved, best)
    states = np.full((N, T), PAD)
    state = best.argmax(axis=1)
    for t in range(T - 1, -1, -1):
        if t < T - 1:
            before = came_from[t][np.arange(N), state]
            state = np.where(t + 1 < lengths, before, state)
        states[:, t] = np.where(t < lengths, state, PAD)
    return states, best.max(axis=1)


# ---------------------------------------------------------------------------------------- emissions


class Emissions(Protocol):
    """What states emit: `Symbols`, or the `Gaussians` of a mixture."""

    def log_densities(self, x: np.ndarray) -> np.ndarray:
        """log b_i(x_m), (M, S), of x (M, ...)."""
        ...

    def maximise(self, x: np.ndarray, weights: np.ndarray) -> None:
        """The M-step: from x (M, ...) and weights (M, S)."""
        ...

    def sample(
        self,
        components: np.ndarray,
        *,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """A draw from each of these states (M,)."""
        ...


class Symbols(nn.Module):
    """Each of S states emits one of V symbols, with probabilities (S, V); at first random ones.

    They are for what comes in whole numbers, as in the lesson at the top of this file. The rows of
    images are vectors, too many to count: `RowHMM`, and so the task `hmm`, has Gaussians instead.
    `pseudo_count` symbols of each kind were seen beforehand in each state: a Dirichlet prior.
    """

    probabilities: np.ndarray

    def __init__(
        self,
        count: int,
        symbols: int,
        pseudo_count: float = 0.0,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.pseudo_count = pseudo_count
        drawn = rng.dirichlet(np.ones(symbols), count)
        self.register_buffer("probabilities", drawn)

    def log_densities(self, x: np.ndarray) -> np.ndarray:
        return log(self.probabilities).T[x]

    def maximise(self, x: np.ndarray, weights: np.ndarray) -> None:
        V = self.probabilities.shape[1]
        counts = weights.T @ np.eye(V)[x]  # (S, V)
        self.probabilities = shares(counts, self.pseudo_count, self.probabilities)

    @property
    def log_prior(self) -> float:
        """Of the probabilities, but for a constant."""
        return log_dirichlet(self.probabilities, self.pseudo_count)

    def sample(
        self,
        components: np.ndarray,
        *,
        rng: np.random.Generator,
    ) -> np.ndarray:
        return draw(self.probabilities[components], rng)


# ---------------------------------------------------------------------------------------- the model


class HiddenMarkovModel(nn.Module):
    """S hidden states: `initial` (S,), `transition` (S, S), whose rows sum to 1, and emissions."""

    initial: np.ndarray  # pi
    transition: np.ndarray  # A

    def __init__(
        self,
        count: int,
        emissions: nn.Module,
        pseudo_count: float = 0.0,
    ) -> None:
        self.pseudo_count = pseudo_count
        self.emissions = emissions
        self.register_buffer("initial", np.full(count, 1 / count))
        self.register_buffer("transition", np.full((count, count), 1 / count))

    def start(self, batch: Sequences, states: np.ndarray) -> None:
        """The first M-step, from a guess at the states (N, T)."""
        one_hot = np.eye(len(self.initial))[states]  # (N, T, S)
        belongs = one_hot * batch.within[:, :, None]
        moves = np.einsum("nti,ntj->ij", belongs[:, :-1], belongs[:, 1:])
        unknown = np.zeros(len(states))
        self.maximise(batch, Expected(belongs, moves, unknown))

    def log_emissions(self, batch: Sequences) -> np.ndarray:
        """log b_i(x_t), (N, T, S); 0 after a sequence's end."""
        inside = batch.within
        log_b = np.zeros((*inside.shape, len(self.initial)))
        log_b[inside] = self.emissions.log_densities(batch.steps)
        return log_b

    def logarithms(
        self,
        batch: Sequences,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What the sums over all paths take: log pi, log A, log b, and the lengths."""
        log_b = self.log_emissions(batch)
        return log(self.initial), log(self.transition), log_b, batch.lengths

    def log_likelihoods(self, batch: Sequences) -> np.ndarray:
        """log p(x_n), (N,)."""
        alphas = forward(*self.logarithms(batch), fast_log_product)
        return np.asarray(special.logsumexp(alphas[-1], axis=1))

    def expect(self, batch: Sequences) -> Expected:
        """The E-step."""
        return forward_backward(*self.logarithms(batch))

    def maximise(self, batch: Sequences, expected: Expected) -> None:
        """The M-step."""
        first = expected.states[:, 0].sum(axis=0)
        self.initial = shares(first, self.pseudo_count, self.initial)
        self.transition = shares(expected.moves, self.pseudo_count, self.transition)
        weights = expected.states[batch.within]  # (M, S)
        self.emissions.maximise(batch.steps, weights)

    @property
    def log_prior(self) -> float:
        """Of the parameters, but for a constant; with the log-likelihood it is what EM raises."""
        moves = log_dirichlet(self.initial, self.pseudo_count)
        moves += log_dirichlet(self.transition, self.pseudo_count)
        of_emissions: float = getattr(self.emissions, "log_prior", 0.0)
        return moves + of_emissions

    def iterate(self, batch: Sequences) -> float:
        """One iteration of EM; the objective before it, log p(x) of all sequences and the prior."""
        expected = self.expect(batch)
        objective = expected.log_likelihoods.sum() + self.log_prior
        self.maximise(batch, expected)
        return float(objective)

    def decode(self, batch: Sequences) -> tuple[np.ndarray, np.ndarray]:
        """The most probable states (N, T), and log p(x, states), (N,)."""
        return viterbi(*self.logarithms(batch))

    def sample(
        self,
        n: int,
        length: int,
        *,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """n sequences (n, length, ...), and their states (n, length)."""
        probabilities = np.tile(self.initial, (n, 1))
        states = []
        for _ in range(length):
            states.append(draw(probabilities, rng))
            probabilities = self.transition[states[-1]]
        z = np.stack(states, axis=1)  # (n, length)
        x = self.emissions.sample(z.ravel(), rng=rng)
        features = x.shape[1:]
        return x.reshape(n, length, *features), z


def first_guess(
    batch: Sequences,
    segments: int,
    clusters: int,
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """States (N, T) of sequences x (N, T, D): segments of equal length, in each some clusters.

    A segment has the states segment * clusters + cluster, by k-means.
    """
    x, inside = batch.x, batch.within
    steps = np.arange(x.shape[1])
    segment_of = steps * segments // batch.lengths[:, None]  # (N, T)
    states = np.zeros(inside.shape, int)
    for segment in range(segments):
        place = inside & (segment_of == segment)
        members = x[place]  # (M, D)
        if len(members) == 0:
            continue
        distinct = len(np.unique(members, axis=0))
        centres = kmeans(members, min(clusters, distinct), rng=rng)
        states[place] = segment * clusters + nearest(members, centres)
    return states


# ---------------------------------------------------------------------------------------- of images


class RowHMM(Pretrained):
    """A hidden Markov model for each class of images, whose rows are the steps of a sequence."""

    config_class = RowHMMConfig
    prior: np.ndarray  # (C,)

    def __init__(
        self,
        config: RowHMMConfig,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.config = config
        S, (_, width) = config.num_states, config.image_size
        D = width * config.num_channels
        count = max(1, config.num_classes)
        models = []
        for _ in range(count):
            emissions = Gaussians(S, D, config.covariance, config.floor)
            model = HiddenMarkovModel(S, emissions, config.pseudo_count)
            models.append(model)
        self.models = nn.ModuleList(models)
        self.register_buffer("prior", np.full(count, 1 / count))

    def rows(self, images: np.ndarray) -> Sequences:
        """Images (N, H, W[, C]) as sequences (N, H, W C)."""
        N, H = images.shape[:2]
        rows = images.reshape(N, H, -1)
        return Sequences(rows.astype(np.float64))

    def by_class(
        self,
        images: np.ndarray,
        labels: np.ndarray,
    ) -> Iterator[tuple[HiddenMarkovModel, Sequences]]:
        """The model of each class that has images, with their rows."""
        for label in np.unique(labels):
            own = images[labels == label]
            yield self.models[int(label)], self.rows(own)

    def start(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        rng: np.random.Generator,
    ) -> None:
        """The first M-step of each class."""
        counts = np.bincount(labels, minlength=len(self.models))
        self.prior = counts / counts.sum()
        segments = self.config.segments
        clusters = self.config.num_states // segments
        for model, rows in self.by_class(images, labels):
            guess = first_guess(rows, segments, clusters, rng=rng)
            model.start(rows, guess)

    def iterate(self, images: np.ndarray, labels: np.ndarray) -> float:
        """One iteration of EM in each class; the objective before it, a mean over the images."""
        total = 0.0
        for model, rows in self.by_class(images, labels):
            total += model.iterate(rows)
        return total / len(images)

    @property
    def log_prior(self) -> np.ndarray:
        """log p(class), (C,)."""
        return log(self.prior)

    def class_log_likelihoods(self, images: np.ndarray) -> np.ndarray:
        """log p(image | class), (N, C)."""
        rows = self.rows(images)
        by_class = [model.log_likelihoods(rows) for model in self.models]
        return np.stack(by_class, axis=1)

    def sample(
        self,
        n: int,
        label: int | np.ndarray = -1,
        *,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """n images in [0, 1]; `label` is a class, or one for each (n,), or -1: of all classes.

        Raises ValueError for a class that it lacks.
        """
        any_class = draw(np.tile(self.prior, (n, 1)), rng)
        labels = np.where(np.equal(label, -1), any_class, label)
        H = self.config.image_size[0]
        images = np.zeros((n, *self.config.image_shape), np.float32)
        for given in np.unique(labels):
            if not 0 <= given < len(self.models):
                raise no_class(given, len(self.models))
            members = labels == given
            model = self.models[int(given)]
            x, _ = model.sample(int(members.sum()), H, rng=rng)
            images[members] = np.clip(x, 0, 1).reshape(images[members].shape)
        return images
