"""Reading a strip: an image of several handwritten digits side by side, to their sequence.

Nothing says where a digit begins. The encoders take the image's columns (`models.vision.columns`)
as they take words.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from string import digits
from typing import Annotated, Any, ClassVar, Self

import numpy as np

from tinygrad_cv import data, nn

from ...classical.nearest import flatten, nearest
from ...config import Config, NonNegative
from ...sequence.seq2seq import Seq2SeqConfig
from ...sequence.symbols import encode
from ...sequence.transformer import TransformerConfig
from ...vision.columns import Columns
from ...vision.resnet import ResNetConfig
from ..report.images import grid, heat, read_grey, write_png
from ..settings import check_grey
from .pairs import ORDERS, Pairs, check_order, in_order
from .transduction import (
    TINY_MODEL,
    TINY_TRAINING,
    Transduction,
    TransductionConfig,
    TransductionSettings,
    TransductionTraining,
    drawn_groups,
)

EMBEDDED = (8, 8)  # the size of the embedded digits


def backbone() -> ResNetConfig:
    return ResNetConfig(embedding_size=32, stem_kernel_size=5, hidden_sizes=(32, 64))


@dataclass(frozen=True)
class StripConfig(TransductionConfig):
    """What makes a reader of strips: a convolutional network embeds the columns."""

    model_type: ClassVar = "strip-reader"

    image_height: int = 8  # of the strips, in pixels
    backbone_config: ResNetConfig = field(default_factory=backbone)


@dataclass(frozen=True)
class StripData(Config):
    """What strips are made of."""

    image_size: tuple[int, int] = EMBEDDED  # of a digit: (H, W)
    classes: Annotated[int, 1, 10] = 10  # 0, 1, ... up to so many digits
    order: Annotated[str, *ORDERS] = "same"  # or reversed
    shortest: int = 3  # digits
    longest: int = 12  # digits
    gap: NonNegative = 2  # most empty columns before a digit
    noise: float = 0.1  # standard deviation of what is added to the pixels in training
    rotation: float = 15.0  # degrees, at most, by which digits are turned in training
    scaling: float = 0.15  # their sizes change by exp(+- this)
    shear: float = 0.25  # columns a row by which they are slanted


@dataclass(frozen=True)
class StripSettings(TransductionSettings):
    """A reader of strips, its training, and its data. A data set decides the digits' size."""

    model: StripConfig = field(default_factory=StripConfig)
    data: StripData = field(default_factory=StripData)

    def fitted(self, dataset: Any) -> Self:
        if dataset is None:
            return self
        size, count = dataset.images.shape[1:3], len(dataset.classes)
        return replace(
            self,
            model=replace(self.model, image_height=size[0]),
            data=replace(self.data, image_size=size, classes=count),
        )

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        check_grey(self.model, "strips")
        config = self.data
        check_order(config.order)
        if config.longest < config.shortest:
            raise ValueError(
                f"data.longest={config.longest}: must be at least data.shortest, {config.shortest}"
            )
        height, size = self.model.image_height, config.image_size
        if height != size[0]:
            raise ValueError(f"model.image_height={height}: the digits are of size {size}")
        if dataset is None:
            return
        shape = dataset.images.shape[1:]
        if len(shape) != 2:
            raise ValueError(f"strips are made of grey images (H, W), not {shape}")
        if size != shape:
            raise ValueError(f"data.image_size={size}: the images of {dataset.name} are {shape}")


def strips(
    images: np.ndarray, lengths: np.ndarray, gap: int, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W) side by side, the first lengths[0] in the first strip, and so on.

    Before each there are up to `gap` empty columns. Returns the strips' columns (B, widest, H) and
    their widths (B,).
    """
    N, H, W = images.shape
    B, longest = len(lengths), lengths.max()
    rows = np.repeat(np.arange(B), lengths)  # the strip of each image, (N,)
    first = np.cumsum(lengths) - lengths
    places = np.arange(N) - np.repeat(first, lengths)  # its place in the strip
    gaps = np.zeros((B, longest), int)
    gaps[rows, places] = rng.integers(0, gap + 1, N)
    starts = np.cumsum(gaps + W, axis=1) - W
    begins = starts[rows, places]  # its first column
    widths = lengths * W + gaps.sum(axis=1)
    columns = np.zeros((B, widths.max(), H), images.dtype)
    filled = begins[:, None] + np.arange(W)  # (N, W)
    columns[rows[:, None], filled] = np.swapaxes(images, 1, 2)  # (N, W, H)
    return columns, widths


class StripReading(Transduction):
    """Images of several digits side by side -> the digits."""

    title = "Reading a strip of digits"
    presets: ClassVar = {
        "tiny": StripSettings(
            StripConfig(
                recurrent=TINY_MODEL.recurrent,
                transformer=TINY_MODEL.transformer,
                backbone_config=ResNetConfig(
                    embedding_size=4, stem_kernel_size=5, hidden_sizes=(4, 8)
                ),
            ),
            TINY_TRAINING,
            StripData(longest=4),
        ),
        "digits": StripSettings(
            StripConfig(
                recurrent=Seq2SeqConfig(dropout=0.2),
                transformer=TransformerConfig(dropout=0.2),
            ),
            TransductionTraining(weight_decay=0.05, label_smoothing=0.1),
        ),
        "mnist": StripSettings(
            StripConfig(
                image_height=28,
                backbone_config=replace(backbone(), hidden_sizes=(32, 64, 64), depths=(1, 1, 1)),
            ),
            data=StripData(image_size=(28, 28), gap=4),
        ),
    }
    along = "digits in the strip"
    settings: StripSettings

    def __init__(self, settings: StripSettings, training: Any, *, rng: np.random.Generator) -> None:
        self.alphabet = digits[: settings.data.classes]
        super().__init__(settings, training, rng=rng)

    def embedding(self) -> nn.Module:
        config = self.settings.model
        height, embed_dim = config.image_height, config.embed_dim
        return Columns(config.backbone_config, height, embed_dim, rng=self.rng)

    def pool(self, dataset: Any, part: str) -> Any:
        if dataset is None:
            embedded = part == "test" and self.settings.data.image_size == EMBEDDED
            return data.digits("test") if embedded else None
        name = dataset.name
        if dataset.labels is None:
            raise ValueError(f"{name} has no labels to learn from; a strip's digits must be known")
        if dataset.classes != tuple(self.alphabet):
            raise ValueError(
                f"strips are made of the digits {self.alphabet}; "
                f"{name} has {len(dataset.classes)} classes"
            )
        return dataset

    def groups(self) -> dict[int, str]:
        config = self.settings.data
        return {n: f"{n} digits" for n in range(config.shortest, config.longest + 1)}

    def draw(
        self, n: int, pool: Any, group: int | None = None, *, rng: np.random.Generator
    ) -> Pairs:
        config = self.settings.data
        lengths = drawn_groups(config.shortest, config.longest, n, group, rng=rng)
        chosen = rng.integers(0, len(pool.images), lengths.sum())
        images, labels = pool.images[chosen], pool.labels[chosen]
        if pool is self.training:
            images = self.changed(images, rng=rng)
        columns, widths = strips(images, lengths, config.gap, rng=rng)
        texts = []
        for row in np.split(labels, np.cumsum(lengths)[:-1]):
            text = "".join(map(str, row))
            texts.append(in_order(config.order, text))
        target, _ = encode(texts, self.alphabet)
        return Pairs(columns, widths, target)

    def changed(self, images: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """Images (N, H, W) turned, scaled, slanted and noisy, as training has them."""
        config = self.settings.data
        turned: np.ndarray = data.affine(
            images,
            rotation=config.rotation,
            scaling=config.scaling,
            shear=config.shear,
            rng=rng,
        )
        noise = rng.normal(0, config.noise, turned.shape)
        turned += noise.astype(turned.dtype)
        return turned

    def read(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The image in a file."""
        image = read_grey(Path(text), self.settings.data.image_size[0])  # (H, S)
        return image.T[None], np.array([image.shape[1]])

    def describe(self, pairs: Pairs) -> list[str]:
        return [f"a strip of {width} columns" for width in pairs.lengths]

    def sample(self, n: int, *, rng: np.random.Generator, source: str = "", beam: int = 1) -> str:
        """What is read in an image, the file `source`, or in n strips of embedded test digits."""
        if not source and self.settings.data.image_size != EMBEDDED:
            raise ValueError(
                "this model has learned from other digits than the embedded ones; "
                "give it --set source=IMAGE"
            )
        return super().sample(n, rng=rng, source=source, beam=beam)

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        closest = nearest(flatten(test.images), flatten(training.images))
        share = float(np.mean(training.labels[closest] == test.labels))
        exact_match = np.mean([share**length for length in self.groups()])
        baseline = {
            "name": "nearest neighbour, given where each digit stands",
            "exact match": float(exact_match),
        }
        return [*super().evaluate(name, training, test), baseline]

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        shown = super().show(folder, training, test)
        longest = self.settings.data.longest
        pairs = self.draw(1, test, longest, rng=np.random.default_rng(3))
        aligned = self.alignment_of(pairs)
        if aligned is None:
            return shown
        symbols, weights = aligned  # (L, S / stride)
        image = pairs.source[0].T  # (H, S)
        covered = weights.shape[1] * self.settings.model.backbone_config.stride
        image = np.pad(image, [(0, 0), (0, covered - image.shape[1])])
        maps = heat(np.stack([image] * len(symbols)), weights[:, None])  # (L, H, S, 3)
        colours = np.stack([image] * 3, axis=-1)
        write_png(folder / "reading.png", grid(np.concatenate([colours[None], maps]), 1))
        text = " ".join(symbols)
        caption = f"A strip, and where the model looks for each digit as it writes {text}"
        return [("reading.png", caption), *shown]
