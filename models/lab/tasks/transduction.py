"""Learning to turn one sequence into another: strips of digits, dates, reversed letters.

Each task is learned by one of four architectures, which differ in how the decoder gets at the
source: the recurrent encoder-decoder without attention, with the additive and the multiplicative
one (`models.sequence.seq2seq`), and the Transformer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, optim, parallel
from tinygrad_cv.data import IGNORE_INDEX

from ...config import Config, Fraction, ModelConfig, Steps
from ...sequence.decoding import Transducer, beam_search, greedy, scheduled_inputs
from ...sequence.seq2seq import Additive, Multiplicative, Plain, Seq2SeqConfig, Symbols
from ...sequence.symbols import FIRST, decode, encode
from ...sequence.transformer import Transformer, TransformerConfig
from ..learner import Learner, TrainingConfig
from ..progress import progress_bar
from ..report.plots import draw_matrix, plot
from ..settings import Settings
from ..task import GeneratedBatches, Task, in_batches
from .pairs import Pairs

RECURRENT = {"plain": Plain, "additive": Additive, "multiplicative": Multiplicative}
ARCHITECTURES = (*RECURRENT, "transformer")
Architecture = Annotated[str, *ARCHITECTURES]
SCHEDULES = ("cosine", "inverse square root")
MEASURED = 200  # pairs of each length or form
AT_ONCE = 100  # targets are written
LONGEST = 100  # symbols that are written where no target is known


@dataclass(frozen=True)
class TransductionConfig(ModelConfig):
    """What makes a model of pairs of sequences: an architecture, and what makes either kind."""

    model_type: ClassVar = "transduction"

    architecture: Architecture = "additive"  # or plain, multiplicative, transformer
    recurrent: Seq2SeqConfig = field(default_factory=Seq2SeqConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)

    @property
    def embed_dim(self) -> int:
        """The size of an embedded source's vectors."""
        if self.architecture == "transformer":
            return self.transformer.d_model
        return self.recurrent.hidden_size


@dataclass(frozen=True)
class TransductionTraining(TrainingConfig):
    """How a model of pairs is trained."""

    steps: Steps = 4000
    batch_size: int = 64
    lr: float = 3e-3  # the Transformer wants about half of it
    schedule: Annotated[str, *SCHEDULES] = "cosine"  # or inverse square root, the Transformer's own
    weight_decay: float = 0.01
    warmup_steps: int = 200
    label_smoothing: Fraction = 0.0  # share of a label that goes to all symbols
    scheduled_sampling: Fraction = 0.0  # share of inputs the model wrote, at the end; grows from 0


@dataclass(frozen=True)
class Transcription(Config):
    """How a target is written."""

    source: str = ""  # what it is written for; without, some of the test part
    beam: Annotated[int, 1, 100] = 1  # sequences that are kept side by side


@dataclass(frozen=True)
class TransductionSettings(Settings):
    """A model of pairs, and its training."""

    model: TransductionConfig = field(default_factory=TransductionConfig)
    training: TransductionTraining = field(default_factory=TransductionTraining)

    @property
    def unused(self) -> tuple[str, ...]:
        recurrent = self.model.architecture != "transformer"
        other = "model.transformer" if recurrent else "model.recurrent"
        return (other, *super().unused)

    def check(self, dataset: Any) -> None:
        check_architecture(self.model.architecture)
        schedule = self.training.schedule
        if schedule not in SCHEDULES:
            known = ", ".join(SCHEDULES)
            raise ValueError(f"the schedule is one of {known}, not {schedule!r}")


TINY_MODEL = TransductionConfig(
    recurrent=Seq2SeqConfig(hidden_size=8),
    transformer=TransformerConfig(
        d_model=8,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
    ),
)
TINY_TRAINING = TransductionTraining(steps=100, batch_size=4, warmup_steps=5)


def check_architecture(name: str) -> None:
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"no architecture is called {name!r}; there are {known}")


def build(
    config: TransductionConfig,
    source: nn.Module,
    num_outputs: int,
    *,
    rng: np.random.Generator,
) -> Transducer:
    """The model of a configuration, with a module that embeds its sources."""
    check_architecture(config.architecture)
    if config.architecture == "transformer":
        return Transformer(source, num_outputs, config.transformer, rng=rng)
    kind = RECURRENT[config.architecture]
    return kind(source, num_outputs, config.recurrent, rng=rng)


def drawn_groups(
    first: int, last: int, n: int, group: int | None, *, rng: np.random.Generator
) -> np.ndarray:
    """n groups, drawn from first ... last, or all of them a given one."""
    if group is not None:
        return np.full(n, group)
    return rng.integers(first, last + 1, n)


class Transduction(Task):
    """The training of a model of pairs of sequences."""

    plots: ClassVar = {"loss": ("loss",), "exact match": ("exact match on the batch",)}
    draws = "text"
    options: ClassVar = Transcription()
    metrics_help = (
        "exact match: share of the test pairs whose target is written right to the last symbol, "
        "the most probable symbol each time. beam of 4: the best of four sequences kept side by "
        "side, by log p / ((5 + length) / 6)^.6."
    )
    settings: TransductionSettings
    found: tuple[Any, Any] = (None, {})  # test data and the accuracy on them, until the next step
    alphabet: str  # of the targets
    along: str  # what the groups are lengths of; "" if they aren't

    def __init__(
        self, settings: TransductionSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        settings.check(training)
        self.settings, self.rng, self.batches = settings, rng, GeneratedBatches()
        model, config = settings.model, settings.training
        self.training = self.pool(training, "train")
        source = self.embedding()
        self.model = build(model, source, FIRST + len(self.alphabet), rng=rng)
        schedule = None
        if config.schedule == "inverse square root":
            schedule = optim.inverse_square_root(config.warmup_steps, model.embed_dim)
        self.learner = Learner(self.model, config, schedule=schedule)
        self.parts = self.learner.parts

    # ------------------------------------------------------------------------- what a task says

    def embedding(self) -> nn.Module:
        """What embeds the sources."""
        raise NotImplementedError

    def pool(self, dataset: Any, part: str) -> Any:
        """What the sources of the training or the test part are drawn from."""
        raise NotImplementedError

    def groups(self) -> dict[Any, str]:
        """What the measured pairs are sorted by, and a name for each of these groups."""
        raise NotImplementedError

    def draw(self, n: int, pool: Any, group: Any = None, *, rng: np.random.Generator) -> Pairs:
        """n pairs, of all groups or of one."""
        raise NotImplementedError

    def read(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """A source that a person gives, and its length: (1, S, ...) and (1,)."""
        raise NotImplementedError

    def describe(self, pairs: Pairs) -> list[str]:
        """The sources as texts."""
        raise NotImplementedError

    def ticks(self, pairs: Pairs) -> list[str]:
        """A name for each place of the first source, where places have names."""
        return []

    # --------------------------------------------------------------------------------- training

    def step(self, step: int) -> dict[str, float]:
        self.found = (None, {})
        config, team = self.settings.training, parallel.team()
        pairs = self.draw(config.batch_size, self.training, rng=self.rng)
        arrays = (pairs.source, pairs.lengths, pairs.inputs, pairs.labels)
        source, lengths, inputs, labels = map(team.shard, arrays)
        share = config.scheduled_sampling * step / config.steps
        if share:
            inputs = self.own_inputs(source, lengths, inputs, share)
        logits = self.model(source, lengths, inputs)  # (B, L, V)
        loss = kernels.cross_entropy(
            logits,
            labels,
            label_smoothing=config.label_smoothing,
            ignore_index=IGNORE_INDEX,
            reduction="sum",
        )
        # Ranks have different numbers of symbols: each divides by the mean of these.
        count = np.sum(pairs.labels != IGNORE_INDEX) / team.size
        loss = loss / np.float32(count)
        self.learner.step(loss, step)
        predicted = logits.numpy().argmax(axis=-1)
        right = (predicted == labels) | (labels == IGNORE_INDEX)
        exact_match = float(right.all(axis=1).mean())
        return {"loss": loss.item(), "exact match on the batch": exact_match}

    def own_inputs(
        self, source: np.ndarray, lengths: np.ndarray, inputs: np.ndarray, share: float
    ) -> np.ndarray:
        """Inputs of which a share is what the model itself writes now."""
        self.model.eval()
        with tg.no_grad():
            inputs = scheduled_inputs(self.model, source, lengths, inputs, share, rng=self.rng)
        self.model.train()
        return inputs

    # -------------------------------------------------------------------------------- measuring

    def write(
        self, source: np.ndarray, lengths: np.ndarray, longest: int, beam: int = 1
    ) -> list[str]:
        """What the averaged model turns sources into, as texts of at most `longest` symbols."""
        with self.learner.ema_weights():
            if beam == 1:
                symbols = greedy(self.model, source, lengths, longest)
            else:
                beams, _ = beam_search(self.model, source, lengths, longest, beam)
                symbols = beams[:, 0]
        return decode(symbols, self.alphabet)

    def exact_match(self, pairs: Pairs, beam: int = 1) -> float:
        """The share of the pairs whose target is written to the last symbol, END included."""
        longest = pairs.target.shape[1]
        written = self.write(pairs.source, pairs.lengths, longest, beam)
        wanted = decode(pairs.target, self.alphabet)
        return float(np.mean([a == b for a, b in zip(written, wanted, strict=True)]))

    def accuracy(self, test: Any, beam: int = 1, n: int = MEASURED) -> dict[Any, float]:
        """The exact match in each group, on n test pairs each."""
        pool, accuracy, groups = self.pool(test, "test"), {}, self.groups()
        with progress_bar(len(groups), "measuring", passing=True) as bar:
            for group in groups:
                pairs = self.draw(n, pool, group, rng=np.random.default_rng(1))
                accuracy[group] = self.exact_match(pairs, beam)
                bar.update()
        return accuracy

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        one, four = self.accuracy(test), self.accuracy(test, beam=4)
        self.found = (test, one)

        def row(name: str, one: float, four: float) -> dict[str, Any]:
            return {"name": name, "exact match": one, "beam of 4": four}

        means = (float(np.mean(list(by_group.values()))) for by_group in (one, four))
        rows = [row(name, one[group], four[group]) for group, name in self.groups().items()]
        return [row(f"{self.settings.model.architecture}, all", *means), *rows]

    # ---------------------------------------------------------------------------------- showing

    def sample(self, n: int, *, rng: np.random.Generator, source: str = "", beam: int = 1) -> str:
        """What is written for a source, or for n of them from the test part, a line each."""
        if source:
            return f"{source} -> {self.write(*self.read(source), LONGEST, beam)[0]}"
        pairs = self.draw(n, self.pool(None, "test"), rng=rng)
        written: list[str] = []
        for rows in in_batches(np.arange(n), AT_ONCE, "writing"):
            written += self.write(pairs.source[rows], pairs.lengths[rows], LONGEST, beam)
        wanted = decode(pairs.target, self.alphabet)
        lines = []
        for text, ours, right in zip(self.describe(pairs), written, wanted, strict=True):
            mistake = "" if ours == right else f" (not {right})"
            lines.append(f"{text} -> {ours}{mistake}")
        return "\n".join(lines)

    def alignment_of(self, pairs: Pairs) -> tuple[list[str], np.ndarray] | None:
        """What is written for the first pair, symbol by symbol, and where each attends to.

        The latter is (L, S), how much each symbol attends to each place of the source.
        """
        source, lengths = pairs.source[:1], pairs.lengths[:1]
        with self.learner.ema_weights():
            symbols = greedy(self.model, source, lengths, LONGEST)
            inputs = Pairs(source, lengths, symbols).inputs
            weights = self.model.alignment(source, lengths, inputs)
        if weights is None:
            return None
        written = [*decode(symbols, self.alphabet)[0], "end"]
        return written[: len(weights[0])], weights[0]

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        shown = []
        known, accuracy = self.found
        if known is not test or not accuracy:
            accuracy = self.accuracy(test)
        if self.along:
            line = (list(accuracy), list(accuracy.values()))
            plot({self.settings.model.architecture: line}, self.along, folder / "lengths.png")
            shown.append(("lengths.png", f"Exact match by {self.along}"))
        pool, last_group = self.pool(test, "test"), list(accuracy)[-1]
        pairs = self.draw(1, pool, last_group, rng=np.random.default_rng(3))
        aligned = self.alignment_of(pairs)
        if aligned is not None:
            symbols, weights = aligned
            draw_matrix(weights, symbols, self.ticks(pairs), folder / "alignment.png")
            text = "Where each written symbol, top to bottom, looks in the source, left to right"
            shown.append(("alignment.png", text))
        return shown


class TextTransduction(Transduction):
    """A task whose sources are texts too."""

    dataset_kind = "nothing"
    letters: str  # the alphabet of the sources

    def embedding(self) -> nn.Module:
        num_symbols = FIRST + len(self.letters)
        return Symbols(num_symbols, self.settings.model.embed_dim, rng=self.rng)

    def read(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        return encode([text], self.letters)

    def describe(self, pairs: Pairs) -> list[str]:
        return decode(pairs.source, self.letters)

    def ticks(self, pairs: Pairs) -> list[str]:
        return [*self.describe(pairs)[0], "end"]

    def pairs(self, texts: list[tuple[str, str]]) -> Pairs:
        """Sources and targets as numbers of symbols."""
        sources, targets = zip(*texts, strict=True)
        source, lengths = encode(sources, self.letters)
        target, _ = encode(targets, self.alphabet)
        return Pairs(source, lengths, target)
