"""Writing a sequence symbol by symbol: the likeliest each time, or the best of several sequences.

A `Transducer` does the writing. It reads the source once, and keeps in a state all that the next
symbol depends on.
"""

from __future__ import annotations

import numpy as np

from tinygrad_cv import kernels, nn, parallel
from tinygrad_cv.tensor import Tensor
from tinygrad_cv.typing import PyTree

from .symbols import END, START


class Transducer(nn.Module):
    """A model of p(target | source), a symbol at a time (Graves 2012, arXiv 1211.3711).

        p(target | source) = prod_t p(y_t | y_1, ..., y_(t-1), source)

    A state is made of tuples, None, and arrays whose first axis is the batch.
    """

    def encode(self, source: np.ndarray, lengths: np.ndarray) -> PyTree:
        """Read sources (B, S) or (B, S, ...): the state before the first symbol.

        lengths: how many places of each source are not padding, (B,).
        """
        raise NotImplementedError

    def step(self, symbols: np.ndarray, state: PyTree) -> tuple[Tensor, PyTree]:
        """Write on after more symbols (B, L), the last ones of the targets so far.

        Returns the logits of what follows each of them, (B, L, V), and the state after them.
        """
        raise NotImplementedError

    def forward(
        self,
        source: np.ndarray,
        lengths: np.ndarray,
        inputs: np.ndarray,
    ) -> Tensor:
        """All at once, as in training: inputs (B, L) -> logits of what follows each, (B, L, V)."""
        logits, _ = self.step(inputs, self.encode(source, lengths))
        return logits

    def alignment(
        self,
        source: np.ndarray,
        lengths: np.ndarray,
        inputs: np.ndarray,
    ) -> np.ndarray | None:
        """How much each symbol attends to each place of the source: (B, L, S).

        None for a model without attention.
        """
        return None


def select(state: PyTree, rows: np.ndarray) -> PyTree:
    """Some rows of a state, which may be repeated."""
    if state is None:
        return None
    if isinstance(state, tuple):
        return tuple(select(part, rows) for part in state)
    return state[rows]


def greedy(model: Transducer, source: np.ndarray, lengths: np.ndarray, longest: int) -> np.ndarray:
    """The most probable symbol each time, up to END: (B, T), T <= longest, padded with END."""
    state = model.encode(source, lengths)
    symbols = np.full(len(source), START)
    ended = np.zeros(len(source), bool)
    written: list[np.ndarray] = []
    while len(written) < longest and not ended.all():
        logits, state = model.step(symbols[:, None], state)
        best = logits.numpy()[:, 0].argmax(axis=-1)
        symbols = np.where(ended, END, best)
        ended |= symbols == END
        written.append(symbols)
    return np.stack(written, axis=1)


def length_penalty(length: np.ndarray, alpha: float) -> np.ndarray:
    """((5 + length) / 6)^alpha, by which log p is divided.

    Wu et al. 2016, arXiv 1609.08144, equation 14.
    """
    return ((5 + length) / 6) ** alpha


def beam_search(
    model: Transducer,
    source: np.ndarray,
    lengths: np.ndarray,
    longest: int,
    width: int,
    alpha: float = 0.6,
) -> tuple[np.ndarray, np.ndarray]:
    """The `width` best sequences of each source that it finds, best first, and their scores.

    At each step every kept sequence is continued by every symbol, and the best `width` of all these
    are kept. The score is log p / length_penalty; the length counts END. A sequence that has ended
    stays in the competition. Returns (B, width, T), padded with END, and (B, width).
    """
    if width < 1:
        raise ValueError(f"a beam is at least 1 wide, not {width}")
    B = len(source)
    rows = np.arange(B)[:, None]
    state = select(model.encode(source, lengths), np.repeat(np.arange(B), width))
    written = np.full((B, width, 1), START)
    length = np.zeros((B, width))
    ended = np.zeros((B, width), bool)
    logp = np.full((B, width), -np.inf)
    logp[:, 0] = 0  # all sequences of a source start equal: only one counts
    while written.shape[2] <= longest and not ended.all():
        logits, state = model.step(written[:, :, -1].reshape(-1, 1), state)
        last = logits.numpy()[:, 0].astype(np.float64)  # (B width, V)
        _, V = last.shape
        next_logp = kernels.log_softmax(last).reshape(B, width, V)
        next_logp[ended] = np.where(np.arange(V) == END, 0, -np.inf)
        length = length + ~ended
        logp = logp[:, :, None] + next_logp  # (B, width, V)
        scores = logp / length_penalty(length, alpha)[:, :, None]
        scores = scores.reshape(B, width * V)  # all continuations of a source

        best = np.argsort(-scores, axis=1, kind="stable")[:, :width]
        origin, symbol = np.divmod(best, V)  # (B, width)
        logp = logp[rows, origin, symbol]
        length = length[rows, origin]
        ended = ended[rows, origin] | (symbol == END)
        written = np.concatenate([written[rows, origin], symbol[:, :, None]], axis=2)
        state = select(state, (rows * width + origin).reshape(-1))
    return written[:, :, 1:], logp / length_penalty(length, alpha)


def scheduled_inputs(
    model: Transducer,
    source: np.ndarray,
    lengths: np.ndarray,
    inputs: np.ndarray,
    share: float,
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """Inputs (B, L) of which a random share is what the model itself has written.

    An input is a symbol, which has no gradient. So the choice can be made ahead, recording nothing,
    and training on what was chosen, all symbols at once, is scheduled sampling to the letter
    (Bengio et al. 2015, arXiv 1506.03099).
    """
    own = parallel.team().draw(rng.random, inputs.shape) < share
    own[:, 0] = False  # START
    chosen = inputs.copy()
    if not own.any():
        return chosen
    state = model.encode(source, lengths)
    for t in range(1, inputs.shape[1]):
        logits, state = model.step(chosen[:, t - 1 : t], state)
        predicted = logits.numpy()[:, 0].argmax(axis=-1)
        chosen[:, t] = np.where(own[:, t], predicted, chosen[:, t])
    return chosen
