"""Hidden Markov models, fitted by Baum-Welch (Baum et al. 1970; Rabiner 1989, from whom the letters).

    p(x, z) = pi[z_1] b[z_1](x_1) A[z_1, z_2] b[z_2](x_2) ... A[z_(T-1), z_T] b[z_T](x_T)

A sequence of hidden states z is a Markov chain; each x_t depends on its state alone. The emissions
b are symbols with probabilities, or Gaussians. Sums over all S^T paths are taken state by state:

    alpha_t(j) = b_j(x_t) sum_i alpha_(t-1)(i) A[i, j]          forward:   p(x_1 ... x_t, z_t = j)
    beta_t(i) = sum_j A[i, j] b_j(x_(t+1)) beta_(t+1)(j)        backward:  p(x_(t+1) ... x_T | z_t = i)
    gamma_t(i) = alpha_t(i) beta_t(i) / p(x)                    posterior: p(z_t = i | x)

**Forward-backward is backprop.** Only the forward recursion is a model; the backward one is its
derivative. log p(x) depends on log b_i(x_t) as p(z_t = i | x) says, and on log A[i, j] as the expected
number of moves from i to j, so that backpropagation through alpha is the E-step (Eisner 2016,
"Inside-outside and forward-backward algorithms are just backprop"):

>>> import numpy as np
>>> import tinygrad_cv as tg
>>> hmm = HiddenMarkovModel(3, Symbols(3, 4, rng=np.random.default_rng(0)))
>>> x, lengths = np.array([[0, 3, 1, 1, 2], [2, 2, 0, 0, 0]]), np.array([5, 3])
>>> log_b = hmm.log_emissions(x, lengths)  # (N, T, S)
>>> def total(log_b, log_A):
...     return np.sum(log_likelihood(np.log(hmm.initial), log_A, log_b, lengths))
>>> by_backprop = tg.grad(total, argnums=(0, 1))(log_b, np.log(hmm.transition))
>>> by_hand = hmm.expect(x, lengths)
>>> np.allclose(by_backprop[0], by_hand.states), np.allclose(by_backprop[1], by_hand.moves)
(True, True)

What keeps the fit from what few data pretend is in the objective, so that each iteration raises it:
`pseudo_count` moves that were seen beforehand (a Dirichlet prior), and the floor of the covariances
(see `covariances.py`). Deviation from Rabiner, on purpose: everything is in logarithms, in place of
his scaling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from tinygrad_cv import nn, special
from tinygrad_cv.typing import Array

from ..config import ImageConfig, NonNegative
from ..pretrained import Pretrained
from .covariances import Gaussians, Structure
from .kmeans import kmeans
from .nearest import nearest

PAD = -1  # the state after a sequence's end


@dataclass(frozen=True)
class RowHMMConfig(ImageConfig):
    """What makes a hidden Markov model of the rows of images, for each class."""

    model_type: ClassVar = "hmm"

    num_classes: NonNegative = 10  # 0: one model for all images
    num_states: int = 16  # of each class
    covariance: Structure = "full"  # of a state's rows; or tied, diag, spherical
    floor: float = 0.01  # the least eigenvalue of a covariance
    pseudo_count: float = 0.1  # moves between each two states, as if seen in training
    segments: int = 8  # of an image, from top to bottom, each of which begins with its own states

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_states % self.segments:
            raise ValueError(
                f"num_states={self.num_states}: each of segments={self.segments} begins with as "
                "many, so a multiple is expected"
            )


# -------------------------------------------------------------------------- sums over all the paths


def log_likelihood(
    log_initial: Array, log_transition: Array, log_emissions: Array, lengths: np.ndarray
) -> Array:
    """log p(x_n), (N,), in plain NumPy on arrays or tensors.

    log_initial: log pi, (S,). log_transition: log A, (S, S). log_emissions: log b_i(x_t), (N, T, S),
    of which each sequence has the first `lengths` (N,).
    """
    alpha = forward(log_initial, log_transition, log_emissions, lengths)[-1]
    return special.logsumexp(alpha, axis=1)


def forward(
    log_initial: Array, log_transition: Array, log_emissions: Array, lengths: np.ndarray
) -> list[Array]:
    """log alpha_t, (N, S), for each t; after the end of a sequence it stays.

    For the arguments see `log_likelihood`.
    """
    alphas = [log_initial + log_emissions[:, 0]]
    for t in range(1, log_emissions.shape[1]):
        moved = special.logsumexp(alphas[-1][:, :, None] + log_transition, axis=1)
        alpha = moved + log_emissions[:, t]
        alphas.append(np.where(goes_on(t, lengths), alpha, alphas[-1]))
    return alphas


def backward(
    log_transition: np.ndarray, log_emissions: np.ndarray, lengths: np.ndarray
) -> list[np.ndarray]:
    """log beta_t, (N, S), for each t; from the end of a sequence on it is 0."""
    N, T, S = log_emissions.shape
    betas = [np.zeros((N, S))]
    for t in range(T - 1, 0, -1):
        ahead = log_emissions[:, t] + betas[-1]
        beta = special.logsumexp(log_transition + ahead[:, None, :], axis=2)
        betas.append(np.where(goes_on(t, lengths), beta, 0))
    return betas[::-1]


def goes_on(t: int, lengths: np.ndarray) -> np.ndarray:
    """Which sequences have an x_t, (N, 1)."""
    return (t < lengths)[:, None]


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
    N, T, S = log_emissions.shape
    alphas = forward(log_initial, log_transition, log_emissions, lengths)
    betas = backward(log_transition, log_emissions, lengths)
    log_p = special.logsumexp(alphas[-1], axis=1)
    states, moves = np.zeros((N, T, S)), np.zeros((S, S))
    for t in range(T):
        gamma = np.exp(alphas[t] + betas[t] - log_p[:, None])
        states[:, t] = np.where(goes_on(t, lengths), gamma, 0)
        if t:
            ahead = log_emissions[:, t] + betas[t] - log_p[:, None]
            xi = np.exp(alphas[t - 1][:, :, None] + log_transition + ahead[:, None, :])
            moves += xi[t < lengths].sum(axis=0)
    return Expected(states, moves, log_p)


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
        moved = best[:, :, None] + log_transition  # (N, S, S)
        came_from.append(moved.argmax(axis=1))
        reached = moved.max(axis=1) + log_emissions[:, t]
        best = np.where(goes_on(t, lengths), reached, best)
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

    def sample(self, components: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """A draw from each of these states (M,)."""
        ...


class Symbols(nn.Module):
    """Each of S states emits one of V symbols, with probabilities (S, V); at first random ones.

    `pseudo_count` symbols of each kind were seen beforehand in each state: a Dirichlet prior.
    """

    probabilities: np.ndarray  # (S, V)

    def __init__(
        self, count: int, symbols: int, pseudo_count: float = 0.0, *, rng: np.random.Generator
    ) -> None:
        self.pseudo_count = pseudo_count
        self.register_buffer("probabilities", rng.dirichlet(np.ones(symbols), count))

    def log_densities(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(log(self.probabilities).T[x])

    def maximise(self, x: np.ndarray, weights: np.ndarray) -> None:
        one_hot = np.eye(self.probabilities.shape[1])[x]  # (M, V)
        seen = weights.T @ one_hot
        self.probabilities = shares(seen, self.pseudo_count, self.probabilities)

    @property
    def log_prior(self) -> float:
        """Of the probabilities, but for a constant."""
        return log_dirichlet(self.probabilities, self.pseudo_count)

    def sample(self, components: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        return draw(self.probabilities[components], rng)


def log(probabilities: np.ndarray) -> np.ndarray:
    """Of which some may be 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probabilities))


def shares(counts: np.ndarray, pseudo_count: float, unseen: np.ndarray) -> np.ndarray:
    """Probabilities from counts (..., S), which add up to 1; without any count those of `unseen`."""
    total = (counts + pseudo_count).sum(axis=-1, keepdims=True)
    return np.where(total > 0, (counts + pseudo_count) / np.where(total > 0, total, 1), unseen)


def log_dirichlet(probabilities: np.ndarray, pseudo_count: float) -> float:
    """The logarithm of a Dirichlet prior, but for a constant: pseudo_count sum log p."""
    return pseudo_count * float(np.log(probabilities).sum()) if pseudo_count else 0.0


def draw(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A number from each row of probabilities (M, V): (M,)."""
    below = probabilities.cumsum(axis=1)[:, :-1]  # the last would be 1
    return np.asarray((rng.random((len(below), 1)) >= below).sum(axis=1))


# ---------------------------------------------------------------------------------------- the model


class HiddenMarkovModel(nn.Module):
    """S hidden states: `initial` (S,), `transition` (S, S), whose rows add up to 1, and emissions.

    A batch of sequences is x (N, T, ...) and `lengths` (N,): what is behind a sequence's length is
    not looked at. Without lengths all have length T.
    """

    initial: np.ndarray  # pi
    transition: np.ndarray  # A

    def __init__(self, count: int, emissions: nn.Module, pseudo_count: float = 0.0) -> None:
        self.pseudo_count = pseudo_count
        self.emissions = emissions
        self.register_buffer("initial", np.full(count, 1 / count))
        self.register_buffer("transition", np.full((count, count), 1 / count))

    def start(self, x: np.ndarray, states: np.ndarray, lengths: np.ndarray | None = None) -> None:
        """The first M-step, from a guess at the states (N, T)."""
        S = len(self.initial)
        lengths = checked_lengths(x, lengths)
        belongs = np.eye(S)[states] * within(x, lengths)[:, :, None]  # (N, T, S)
        moves = np.einsum("nti,ntj->ij", belongs[:, :-1], belongs[:, 1:])
        self.maximise(x, Expected(belongs, moves, np.zeros(len(x))), lengths)

    def log_emissions(self, x: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """log b_i(x_t), (N, T, S); 0 after a sequence's end."""
        inside = within(x, checked_lengths(x, lengths))
        log_b = np.zeros((*inside.shape, len(self.initial)))
        log_b[inside] = self.emissions.log_densities(x[inside])
        return log_b

    def log_parameters(self) -> tuple[np.ndarray, np.ndarray]:
        """log pi and log A, as the sums over all paths take them."""
        return log(self.initial), log(self.transition)

    def log_likelihoods(self, x: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """log p(x_n), (N,)."""
        lengths = checked_lengths(x, lengths)
        log_b = self.log_emissions(x, lengths)
        return np.asarray(log_likelihood(*self.log_parameters(), log_b, lengths))

    def expect(self, x: np.ndarray, lengths: np.ndarray | None = None) -> Expected:
        """The E-step."""
        lengths = checked_lengths(x, lengths)
        return forward_backward(*self.log_parameters(), self.log_emissions(x, lengths), lengths)

    def maximise(
        self, x: np.ndarray, expected: Expected, lengths: np.ndarray | None = None
    ) -> None:
        """The M-step."""
        inside = within(x, checked_lengths(x, lengths))
        first = expected.states[:, 0].sum(axis=0)
        self.initial = shares(first, self.pseudo_count, self.initial)
        self.transition = shares(expected.moves, self.pseudo_count, self.transition)
        self.emissions.maximise(x[inside], expected.states[inside])

    @property
    def log_prior(self) -> float:
        """Of the parameters, but for a constant; with the log-likelihood it is what EM raises."""
        own = log_dirichlet(self.initial, self.pseudo_count)
        own += log_dirichlet(self.transition, self.pseudo_count)
        return own + getattr(self.emissions, "log_prior", 0.0)

    def iterate(self, x: np.ndarray, lengths: np.ndarray | None = None) -> float:
        """One iteration of EM; the objective before it, log p(x) of all sequences and the prior."""
        expected = self.expect(x, lengths)
        objective = float(expected.log_likelihoods.sum()) + self.log_prior
        self.maximise(x, expected, lengths)
        return objective

    def decode(
        self, x: np.ndarray, lengths: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The most probable states (N, T), and log p(x, states), (N,)."""
        lengths = checked_lengths(x, lengths)
        return viterbi(*self.log_parameters(), self.log_emissions(x, lengths), lengths)

    def sample(
        self, n: int, length: int, *, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """n sequences (n, length, ...), and their states (n, length)."""
        states = [draw(np.tile(self.initial, (n, 1)), rng)]
        while len(states) < length:
            states.append(draw(self.transition[states[-1]], rng))
        z = np.stack(states, axis=1)  # (n, length)
        x = self.emissions.sample(z.ravel(), rng=rng)
        return x.reshape(n, length, *x.shape[1:]), z


def checked_lengths(x: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """The lengths of sequences x (N, T, ...). Raises ValueError unless each is from 1 to T."""
    N, T = x.shape[:2]
    if lengths is None:
        return np.full(N, T)
    lengths = np.asarray(lengths)
    if lengths.shape != (N,) or lengths.min() < 1 or lengths.max() > T:
        raise ValueError(f"{N} sequences of at most {T} steps have the lengths {lengths}")
    return lengths


def within(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Which places of sequences x (N, T, ...) are before their ends, (N, T)."""
    return np.asarray(np.arange(x.shape[1]) < lengths[:, None])


def first_guess(
    x: np.ndarray,
    lengths: np.ndarray,
    segments: int,
    clusters: int,
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """States (N, T) for sequences x (N, T, D): segments of equal length, in each some clusters.

    A segment has the states segment * clusters + cluster, by k-means.
    """
    steps = np.arange(x.shape[1]) * segments // lengths[:, None]  # (N, T)
    inside = within(x, lengths)
    states = np.zeros(inside.shape, int)
    for segment in range(segments):
        members = inside & (steps == segment)
        if members.any():
            distinct = len(np.unique(x[members], axis=0))
            centres = kmeans(x[members], min(clusters, distinct), rng=rng)
            states[members] = segment * clusters + nearest(x[members], centres)
    return states


# ---------------------------------------------------------------------------------------- of images


class RowHMM(Pretrained):
    """A hidden Markov model for each class of images, whose rows are the steps of a sequence."""

    config_class = RowHMMConfig
    prior: np.ndarray  # (C,)

    def __init__(self, config: RowHMMConfig, *, rng: np.random.Generator | None = None) -> None:
        self.config = config
        _, width = config.image_size
        count = max(1, config.num_classes)
        models = []
        for _ in range(count):
            emissions = Gaussians(
                config.num_states, width * config.num_channels, config.covariance, config.floor
            )
            models.append(HiddenMarkovModel(config.num_states, emissions, config.pseudo_count))
        self.models = nn.ModuleList(models)
        self.register_buffer("prior", np.full(count, 1 / count))

    def rows(self, images: np.ndarray) -> np.ndarray:
        """Images (N, H, W[, C]) as sequences (N, H, W C)."""
        N, H = images.shape[:2]
        return images.reshape(N, H, -1).astype(np.float64)

    def start(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        rng: np.random.Generator,
    ) -> None:
        """The first M-step of each class."""
        segments = self.config.segments
        clusters = self.config.num_states // segments
        counts = np.bincount(labels, minlength=len(self.models))
        self.prior = counts / counts.sum()
        for model, x in self.by_class(images, labels):
            lengths = checked_lengths(x, None)
            model.start(x, first_guess(x, lengths, segments, clusters, rng=rng))

    def iterate(self, images: np.ndarray, labels: np.ndarray) -> float:
        """One iteration of EM in each class; the objective before it, a mean over the images."""
        objectives = [model.iterate(x) for model, x in self.by_class(images, labels)]
        return sum(objectives) / len(images)

    def by_class(
        self, images: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[HiddenMarkovModel, np.ndarray]]:
        """The model of each class that has images, with their rows (N, H, W C)."""
        for label in np.unique(labels):
            yield self.models[int(label)], self.rows(images[labels == label])

    @property
    def log_prior(self) -> np.ndarray:
        """log p(class), (C,)."""
        return log(self.prior)

    def class_log_likelihoods(self, images: np.ndarray) -> np.ndarray:
        """log p(image | class), (N, C)."""
        x = self.rows(images)
        return np.stack([model.log_likelihoods(x) for model in self.models], axis=1)

    def sample(
        self, n: int, label: int | np.ndarray = -1, *, rng: np.random.Generator
    ) -> np.ndarray:
        """n images in [0, 1]; `label` is a class, or one for each (n,), or -1: of all classes."""
        drawn = draw(np.tile(self.prior, (n, 1)), rng)
        labels = np.where(np.equal(label, -1), drawn, label)
        for given in labels[(labels < 0) | (labels >= len(self.models))]:
            most = len(self.models) - 1
            raise ValueError(f"label={given}: the classes of this model are 0 to {most}")
        images = np.zeros((n, *self.config.image_shape), np.float32)
        for i in np.unique(labels):
            members = np.flatnonzero(labels == i)
            x, _ = self.models[int(i)].sample(len(members), self.config.image_size[0], rng=rng)
            images[members] = np.clip(x, 0, 1).reshape(len(x), *self.config.image_shape)
        return images
