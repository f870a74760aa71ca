"""Writing a sequence symbol by symbol: the most probable one each time, or the best of several kept side by side.

What writes is a `Transducer`. It reads the source once, and then keeps in a state all that the next symbol depends on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv import kernels, nn, parallel

from .symbols import END, START


class Transducer(nn.Module):
    """A model of p(target | source) = prod_t p(y_t | y_1, ..., y_(t-1), source), a factor at a time (Graves 2012).

    The state is made of tuples, None and arrays whose first axis is the batch.
    """

    def begin(self, source: np.ndarray, lengths: np.ndarray) -> Any:
        """Read sources, (B, S) or (B, S, ...), of these lengths (B,): the state before the first symbol."""
        raise NotImplementedError

    def go_on(self, symbols: np.ndarray, state: Any) -> tuple[Any, Any]:
        """The last symbols that were written, (B, L) -> logits of the ones after each, (B, L, V), and the state then."""
        raise NotImplementedError

    def forward(self, source: np.ndarray, lengths: np.ndarray, inputs: np.ndarray) -> Any:
        """All at once, as in training: inputs (B, L) -> logits of what follows each, (B, L, V)."""
        return self.go_on(inputs, self.begin(source, lengths))[0]

    def alignment(self, source: np.ndarray, lengths: np.ndarray, inputs: np.ndarray) -> np.ndarray | None:
        """How much of each place of the source goes into each symbol, (B, L, S); None for one that cannot say."""
        return None


def select(state: Any, rows: np.ndarray) -> Any:
    """Some rows of a state, one possibly several times."""
    if state is None:
        return None
    return tuple(select(part, rows) for part in state) if isinstance(state, tuple) else state[rows]


def greedy(model: Transducer, source: np.ndarray, lengths: np.ndarray, longest: int) -> np.ndarray:
    """The most probable symbol after each other, up to END or `longest`: (B, T), END behind each end."""
    state, written = model.begin(source, lengths), [np.full(len(source), START)]
    ended = np.zeros(len(source), bool)
    while len(written) <= longest and not ended.all():
        logits, state = model.go_on(written[-1][:, None], state)
        written.append(np.where(ended, END, logits.numpy()[:, 0].argmax(axis=-1)))
        ended |= written[-1] == END
    return np.stack(written[1:], axis=1)


def length_penalty(length: Any, alpha: float) -> Any:
    """((5 + length) / 6)^alpha, by which log-probabilities are divided (Wu et al. 2016, arXiv 1609.08144, equation 14)."""
    return ((5 + length) / 6) ** alpha


def beam_search(
    model: Transducer, source: np.ndarray, lengths: np.ndarray, longest: int, width: int, alpha: float = 0.6
) -> tuple[np.ndarray, np.ndarray]:
    """The `width` best sequences of each source that were found, best first: (B, width, T), and their scores (B, width).

    At each step every kept sequence goes on with every symbol, and of all these the best `width` are kept. The score is
    log p / length_penalty, the length counted with END. A sequence that has ended stays in the competition.
    """
    if width < 1:
        raise ValueError(f"a beam is at least 1 wide, not {width}")
    size = len(source)
    state = select(model.begin(source, lengths), np.repeat(np.arange(size), width))
    written = np.full((size, width, 1), START)
    logp = np.where(np.arange(width) == 0, np.zeros((size, width)), -np.inf)  # all are the same: only one counts
    length, ended = np.zeros((size, width)), np.zeros((size, width), bool)
    while written.shape[2] <= longest and not ended.all():
        logits, state = model.go_on(written[:, :, -1].reshape(-1, 1), state)
        step = kernels.log_softmax(logits.numpy()[:, 0].astype(np.float64)).reshape(size, width, -1)  # (B, width, V)
        step[ended] = np.where(np.arange(step.shape[2]) == END, 0, -np.inf)
        length = length + ~ended
        reached = logp[:, :, None] + step  # (B, width, V)
        scores = (reached / length_penalty(length, alpha)[:, :, None]).reshape(size, -1)  # (B, width V)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :width]
        origin, symbol = np.divmod(best, step.shape[2])
        rows = np.arange(size)[:, None]
        logp, length, ended = reached[rows, origin, symbol], length[rows, origin], ended[rows, origin] | (symbol == END)
        written = np.concatenate([written[rows, origin], symbol[:, :, None]], axis=2)
        state = select(state, (rows * width + origin).reshape(-1))
    return written[:, :, 1:], logp / length_penalty(length, alpha)


def scheduled_inputs(
    model: Transducer, source: np.ndarray, lengths: np.ndarray, inputs: np.ndarray, share: float,
    *, rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Inputs (B, L) of which a share, at random, is what the model itself has written (Bengio et al. 2015, arXiv 1506.03099).

    An input is one symbol, which has no gradient. So the choice can be made ahead, recording nothing, and training on what
    was chosen, all symbols at once, is scheduled sampling to the letter.
    """
    own = parallel.team().draw(rng.random, inputs.shape) < share
    own[:, 0] = False  # START
    state, chosen = model.begin(source, lengths), inputs.copy()
    for t in range(1, inputs.shape[1] if own.any() else 1):
        logits, state = model.go_on(chosen[:, t - 1 : t], state)
        chosen[own[:, t], t] = logits.numpy()[own[:, t], 0].argmax(axis=-1)
    return chosen
