"""Reading a strip: a picture of several handwritten digits side by side, to the sequence of the digits.

Nothing says where a digit begins. The encoders take the picture's columns (`models.vision.columns`) as they take words.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from tinygrad_cv import data, nn

from ...classical.nearest import flatten, nearest
from ...config import NonNegative
from ...sequence.symbols import encode
from ...vision.columns import Columns
from ...vision.resnet import ResNetConfig
from ..report.images import grid, heat, read_grey, write_png
from .pairs import Pairs, in_order
from .transduction import Transduction, TransductionConfig


@dataclass(frozen=True)
class StripConfig(TransductionConfig):
    """What makes a reader of strips."""

    shape: tuple[int, ...] = (8, 8)  # of a digit: (H, W)
    classes: Annotated[int, 1, 10] = 10
    order: str = "same"  # or reversed
    shortest: int = 3  # digits
    longest: int = 12
    gap: NonNegative = 2  # most empty columns before a digit
    stem: int = 32  # what follows, to `depths`, is the convolutional network's: see `ResNetConfig`
    stem_size: int = 5
    widths: tuple[int, ...] = (32, 64)
    depths: tuple[int, ...] = (1, 1)
    noise: float = 0.1  # standard deviation of what is added to the pixels in training
    rotation: float = 15.0  # degrees, at most, by which digits are turned in training
    scaling: float = 0.15  # their sizes change by exp(+- this)
    shear: float = 0.25  # columns a row by which they are slanted


def strips(
    images: np.ndarray, lengths: np.ndarray, gap: int, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, H, W) laid side by side, the first lengths[0] in the first strip, and so on.

    Before each there are up to `gap` empty columns. Gives the strips' columns (B, widest, H) and their widths (B,).
    """
    width = images.shape[2]
    rows = np.repeat(np.arange(len(lengths)), lengths)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    gaps = np.zeros((len(lengths), lengths.max()), int)
    gaps[rows, places] = rng.integers(0, gap + 1, len(rows))
    starts = (np.cumsum(gaps + width, axis=1) - width)[rows, places]
    widths = lengths * width + gaps.sum(axis=1)
    columns = np.zeros((len(lengths), widths.max(), images.shape[1]), images.dtype)
    columns[rows[:, None], starts[:, None] + np.arange(width)] = np.swapaxes(images, 1, 2)  # (N, W, H)
    return columns, widths


class StripReading(Transduction):
    """Pictures of several digits side by side -> the digits."""

    title = "Reading a strip of digits"
    presets: ClassVar = {
        "tiny": StripConfig(size=8, heads=2, hidden=8, stem=4, widths=(4, 8), steps=100, batch=4, longest=4, warm_up=5),
        "digits": StripConfig(dropout=0.2, weight_decay=0.05, label_smoothing=0.1),
        "mnist": StripConfig(shape=(28, 28), gap=4, widths=(32, 64, 64), depths=(1, 1, 1)),
    }
    along = "digits in the strip"

    def __init__(self, config: StripConfig, training: Any, *, rng: np.random.Generator) -> None:
        if len(config.shape) != 2:
            raise ValueError(f"strips are made of grey pictures (H, W), not {config.shape}")
        if config.longest < config.shortest:
            raise ValueError(f"longest={config.longest}: must be at least shortest, {config.shortest}")
        in_order(config.order, "")  # raises for an unknown one
        self.alphabet = "0123456789"[: config.classes]
        self.backbone = ResNetConfig(
            embedding_size=config.stem,
            stem_kernel_size=config.stem_size,
            hidden_sizes=config.widths,
            depths=config.depths,
        )
        super().__init__(config, training, rng=rng)

    def embedding(self) -> nn.Module:
        return Columns(self.backbone, self.config.shape[0], self.config.size, rng=self.rng)

    def pool(self, given: Any, part: str) -> Any:
        if given is None and part == "test" and self.config.shape == (8, 8):
            return data.digits("test")
        if given is not None and given.labels is None:
            raise ValueError(f"{given.name} has no labels to learn from; a strip's digits must be known")
        if given is not None and given.classes != tuple(self.alphabet):
            raise ValueError(f"strips are made of the digits {self.alphabet}; {given.name} has {len(given.classes)} classes")
        return given

    def groups(self) -> dict[int, str]:
        return {n: f"{n} digits" for n in range(self.config.shortest, self.config.longest + 1)}

    def draw(self, n: int, pool: Any, group: int | None = None, *, rng: np.random.Generator) -> Pairs:
        config = self.config
        lengths = rng.integers(config.shortest, config.longest + 1, n) if group is None else np.full(n, group)
        chosen = rng.integers(0, len(pool.images), lengths.sum())
        images = pool.images[chosen]
        if pool is self.training:
            changes = {"rotation": config.rotation, "scaling": config.scaling, "shear": config.shear}
            images = data.affine(images, **changes, rng=rng)
            images += rng.normal(0, config.noise, images.shape).astype(images.dtype)
        columns, widths = strips(images, lengths, config.gap, rng=rng)
        read = np.split(pool.labels[chosen], np.cumsum(lengths)[:-1])
        texts = [in_order(config.order, "".join(map(str, digits))) for digits in read]
        return Pairs(columns, widths, encode(texts, self.alphabet)[0])

    def read(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        picture = read_grey(Path(text), self.config.shape[0])
        return picture.T[None], np.array([picture.shape[1]])

    def describe(self, pairs: Pairs) -> list[str]:
        return [f"a strip of {width} columns" for width in pairs.lengths]

    def sample(self, n: int, *, rng: np.random.Generator, source: str = "", beam: int = 1) -> str:
        """What stands in a picture, whose file `source` names, or in n strips of the embedded test digits."""
        if not source and self.config.shape != (8, 8):
            raise ValueError("this model has learned from other digits than the embedded ones; give it --set source=PICTURE")
        return super().sample(n, rng=rng, source=source, beam=beam)

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        found = training.labels[nearest(flatten(test.images), flatten(training.images))]
        share = float(np.mean(found == test.labels))
        told = {"name": "nearest neighbour, told where each digit stands"}
        return [
            *super().evaluate(name, training, test),
            {**told, "exact match": float(np.mean([share**length for length in self.groups()]))},
        ]

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        pairs = self.draw(1, test, self.config.longest, rng=np.random.default_rng(3))
        looked = self.alignment_of(pairs)
        if looked is None:
            return super().show(folder, training, test)
        symbols, weights = looked  # (L, S)
        count = weights.shape[1] * self.backbone.stride
        columns = np.pad(pairs.source[0], [(0, count - pairs.source.shape[1]), (0, 0)])
        picture = np.swapaxes(columns, 0, 1)[None]  # (1, H, W)
        maps = heat(np.repeat(picture, len(symbols), axis=0), weights[:, None])
        write_png(folder / "reading.png", grid(np.concatenate([np.repeat(picture[..., None], 3, axis=-1), maps]), 1))
        told = f"A strip, and where the model looks for each digit as it writes {' '.join(symbols)}"
        return [("reading.png", told), *super().show(folder, training, test)]
