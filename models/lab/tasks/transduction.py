"""Learning to turn one sequence into another: reading a strip of digits, understanding dates, copying and reversing.

Each task is learned by one of four architectures, which differ in how the writer gets at what was read: the recurrent
encoder-decoder without attention, with the additive and the multiplicative one (`models.sequence.seq2seq`), and the Transformer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, optim, parallel
from tinygrad_cv.data import IGNORE_INDEX

from ...config import Fraction
from ...sequence.decoding import Transducer, beam_search, greedy, scheduled_inputs
from ...sequence.seq2seq import Additive, Multiplicative, Plain, Symbols
from ...sequence.symbols import FIRST, decode, encode
from ...sequence.transformer import Transformer
from ..learner import Learner
from ..report.plots import draw_matrix, plot
from ..task import GeneratedBatches, Task
from .pairs import Pairs

RECURRENT = {"plain": Plain, "additive": Additive, "multiplicative": Multiplicative}
SCHEDULES = ("cosine", "inverse square root")
MEASURED = 200  # pairs of each length or form
LONGEST = 100  # symbols that are written to one who gives a source of their own


@dataclass(frozen=True)
class TransductionConfig:
    """What makes a model of pairs of sequences: architecture, sizes, optimisation."""

    architecture: str = "additive"  # or plain, multiplicative, transformer
    size: int = 128  # of embedded symbols and of a recurrent state; the Transformer's D
    cell: str = "gru"  # or lstm, rnn
    layers: int = 1  # of encoder and decoder each, if they are recurrent
    heads: int = 4
    hidden: int = 256  # of the Transformer's feed-forward networks
    encoders: int = 2
    decoders: int = 2
    pre_norm: bool = False
    dropout: Fraction = 0.1
    scheduled_sampling: Fraction = 0.0  # share of inputs that the decoder wrote itself, at the end; grows from 0
    steps: int = 4000
    batch: int = 64
    rate: float = 3e-3  # the Transformer wants about half of it
    schedule: str = "cosine"  # or inverse square root, the Transformer's own
    weight_decay: float = 0.01
    warm_up: int = 200
    average: Fraction = 0.998  # decay of the moving average of the weights
    label_smoothing: Fraction = 0.0


def build(config: TransductionConfig, source: nn.Module, outputs: int, *, rng: np.random.Generator) -> Transducer:
    """The model of a configuration, behind a module that embeds its sources."""
    if config.architecture == "transformer":
        return Transformer(
            source, outputs, config.size, config.heads, config.hidden, config.encoders, config.decoders,
            config.dropout, config.pre_norm, rng=rng,
        )  # fmt: skip
    if config.architecture not in RECURRENT:
        known = ", ".join([*RECURRENT, "transformer"])
        raise ValueError(f"no architecture is called {config.architecture!r}; there are {known}")
    kind = RECURRENT[config.architecture]
    return kind(source, config.size, outputs, config.size, config.layers, config.cell, config.dropout, rng=rng)


class Transduction(Task):
    """The training of a model of pairs of sequences."""

    plots: ClassVar = {"loss": ("loss",), "exact match": ("exact match on the batch",)}
    options: ClassVar = {"source": "", "beam": 1}
    metrics_help = (
        "exact match: share of the test pairs whose target is written right to the last symbol, the most probable symbol "
        "each time. beam of 4: the best of four sequences kept side by side, by log p / ((5 + length) / 6)^.6."
    )
    alphabet: str  # of the targets
    along: str  # what the groups are lengths of; "" if they aren't

    def __init__(self, config: Any, training: Any, *, rng: np.random.Generator) -> None:
        if config.schedule not in SCHEDULES:
            raise ValueError(f"the schedule is one of {', '.join(SCHEDULES)}, not {config.schedule!r}")
        paper = optim.inverse_square_root(config.warm_up, config.size) if config.schedule != "cosine" else None
        self.config, self.rng, self.batches = config, rng, GeneratedBatches()
        self.training = self.pool(training, "train")
        self.model = build(config, self.embedding(), FIRST + len(self.alphabet), rng=rng)
        self.learner = Learner(self.model, config, schedule=paper)
        self.parts = self.learner.parts

    def embedding(self) -> nn.Module:
        """What embeds the sources."""
        raise NotImplementedError

    def pool(self, given: Any, part: str) -> Any:
        """What the sources of the training or the test part are drawn from."""
        raise NotImplementedError

    def groups(self) -> dict[Any, str]:
        """What the measured pairs are sorted by, and a name for each of these groups."""
        raise NotImplementedError

    def draw(self, n: int, pool: Any, group: Any = None, *, rng: np.random.Generator) -> Pairs:
        """n pairs, of all groups or of one."""
        raise NotImplementedError

    def step(self, step: int) -> dict[str, float]:
        config = self.config
        pairs, team = self.draw(config.batch, self.training, rng=self.rng), parallel.team()
        source, lengths = team.shard(pairs.source), team.shard(pairs.lengths)
        inputs, labels = team.shard(pairs.inputs), team.shard(pairs.labels)
        share = config.scheduled_sampling * step / config.steps
        if share:
            with tg.no_grad():
                inputs = scheduled_inputs(self.model.eval(), source, lengths, inputs, share, rng=self.rng)
            self.model.train()
        logits = self.model(source, lengths, inputs)
        settings: Any = {"label_smoothing": config.label_smoothing, "ignore_index": IGNORE_INDEX, "reduction": "sum"}
        count = np.sum(pairs.labels != IGNORE_INDEX) / team.size  # of symbols a rank, of whom some have more
        loss = kernels.cross_entropy(logits, labels, **settings) / np.float32(count)
        self.learner.step(loss, step)
        right = (logits.numpy().argmax(axis=-1) == labels) | (labels == IGNORE_INDEX)
        return {"loss": loss.item(), "exact match on the batch": float(right.all(axis=1).mean())}

    def write(self, source: np.ndarray, lengths: np.ndarray, longest: int, beam: int = 1) -> list[str]:
        """What the averaged model makes of sources, as texts of at most `longest` symbols."""
        with self.learner.ema_weights():
            if beam == 1:
                symbols = greedy(self.model, source, lengths, longest)
            else:
                symbols = beam_search(self.model, source, lengths, longest, beam)[0][:, 0]
        return decode(symbols, self.alphabet)

    def exact_match(self, pairs: Pairs, beam: int = 1) -> float:
        """The share of the pairs whose target is written to the last symbol, END included."""
        found = self.write(pairs.source, pairs.lengths, pairs.target.shape[1], beam)
        return float(np.mean([a == b for a, b in zip(found, decode(pairs.target, self.alphabet), strict=True)]))

    def accuracy(self, test: Any, beam: int = 1, n: int = MEASURED) -> dict[Any, float]:
        """The exact match in each group, on n test pairs each."""
        pool, found = self.pool(test, "test"), {}
        for group in self.groups():
            found[group] = self.exact_match(self.draw(n, pool, group, rng=np.random.default_rng(1)), beam)
        return found

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        found, beam, names = self.accuracy(test), self.accuracy(test, beam=4), self.groups()
        mean = lambda by: float(np.mean(list(by.values())))
        own = {"name": f"{self.config.architecture}, all", "exact match": mean(found), "beam of 4": mean(beam)}
        return [own, *({"name": names[g], "exact match": found[g], "beam of 4": beam[g]} for g in found)]

    def sample(self, n: int, *, rng: np.random.Generator, source: str = "", beam: int = 1) -> str:
        """What becomes of a source, or of n of them from the test part, a line each."""
        if source:
            return f"{source} -> {self.write(*self.read(source), LONGEST, beam)[0]}"
        pairs = self.draw(n, self.pool(None, "test"), rng=rng)
        written = self.write(pairs.source, pairs.lengths, LONGEST, beam)
        wanted = decode(pairs.target, self.alphabet)
        told = zip(self.describe(pairs), written, wanted, strict=True)
        return "\n".join(f"{x} -> {a}" + ("" if a == b else f" (not {b})") for x, a, b in told)

    def read(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """What somebody gives, as a source and its length."""
        raise NotImplementedError

    def describe(self, pairs: Pairs) -> list[str]:
        """The sources as texts."""
        raise NotImplementedError

    def alignment_of(self, pairs: Pairs) -> tuple[list[str], np.ndarray] | None:
        """What is written for the first pair, symbol by symbol, and how much each looked at each place of the source."""
        with self.learner.ema_weights():
            source, lengths = pairs.source[:1], pairs.lengths[:1]
            symbols = greedy(self.model, source, lengths, LONGEST)
            inputs = Pairs(source, lengths, symbols).inputs
            weights = self.model.alignment(source, lengths, inputs)
        return None if weights is None else ([*decode(symbols, self.alphabet)[0], "end"][: len(weights[0])], weights[0])

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        shown, found = [], self.accuracy(test)
        if self.along:
            plot({self.config.architecture: (list(found), list(found.values()))}, self.along, folder / "lengths.png")
            shown.append(("lengths.png", f"Exact match by {self.along}"))
        pairs = self.draw(1, self.pool(test, "test"), list(found)[-1], rng=np.random.default_rng(3))
        looked = self.alignment_of(pairs)
        if looked is not None:
            symbols, weights = looked
            draw_matrix(weights, symbols, self.ticks(pairs), folder / "alignment.png")
            shown.append(("alignment.png", "Where each written symbol, top to bottom, looks in the source, left to right"))
        return shown

    def ticks(self, pairs: Pairs) -> list[str]:
        """A name for each place of the first source, where places have names."""
        return []


class TextTransduction(Transduction):
    """A task whose sources are texts too."""

    dataset_kind = "nothing"
    letters: str  # the alphabet of the sources

    def embedding(self) -> nn.Module:
        return Symbols(FIRST + len(self.letters), self.config.size, rng=self.rng)

    def read(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        return encode([text], self.letters)

    def describe(self, pairs: Pairs) -> list[str]:
        return decode(pairs.source, self.letters)

    def ticks(self, pairs: Pairs) -> list[str]:
        return [*self.describe(pairs)[0], "end"]

    def pairs(self, texts: list[tuple[str, str]]) -> Pairs:
        sources, targets = zip(*texts, strict=True)
        source, lengths = encode(sources, self.letters)
        return Pairs(source, lengths, encode(targets, self.alphabet)[0])
