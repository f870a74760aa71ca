"""Copying and reversing random letters: what an encoder-decoder can carry over.

There is nothing to understand, and nothing to guess from: each letter must be remembered, or looked
up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Annotated, Any, ClassVar

import numpy as np

from ...config import Config
from .pairs import ORDERS, Pairs, check_order, in_order
from .transduction import (
    TINY_MODEL,
    TINY_TRAINING,
    TextTransduction,
    TransductionSettings,
    drawn_groups,
)


@dataclass(frozen=True)
class LettersData(Config):
    """What is copied or reversed."""

    order: Annotated[str, *ORDERS] = "reversed"  # or same
    letters: Annotated[int, 1, 26] = 26  # in the alphabet
    longest: int = 20  # of what is trained on; shorter ones are as frequent


@dataclass(frozen=True)
class LettersSettings(TransductionSettings):
    """A model that copies or reverses, its training, and its data."""

    data: LettersData = field(default_factory=LettersData)

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        check_order(self.data.order)


def random_texts(lengths: np.ndarray, alphabet: str, *, rng: np.random.Generator) -> list[str]:
    """Random texts of these lengths."""
    drawn = rng.integers(0, len(alphabet), (len(lengths), lengths.max()))
    rows = zip(drawn, lengths, strict=True)
    return ["".join(alphabet[i] for i in row[:length]) for row, length in rows]


class Reversal(TextTransduction):
    """Random letters -> the same ones from the last to the first, or as they are."""

    title = "Copying and reversing"
    presets: ClassVar = {
        "tiny": LettersSettings(TINY_MODEL, TINY_TRAINING, LettersData(longest=4)),
        "letters": LettersSettings(),
    }
    along = "letters"
    settings: LettersSettings

    def __init__(
        self, settings: LettersSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        self.letters = self.alphabet = ascii_lowercase[: settings.data.letters]
        super().__init__(settings, training, rng=rng)

    def pool(self, dataset: Any, part: str) -> None:
        return None

    def groups(self) -> dict[int, str]:
        """Up to half as long again as what was trained on."""
        longest = self.settings.data.longest
        step = max(1, longest // 4)
        lengths = range(step, longest + 2 * step + 1, step)
        return {length: f"{length} letters" for length in lengths}

    def draw(
        self, n: int, pool: Any, group: int | None = None, *, rng: np.random.Generator
    ) -> Pairs:
        config = self.settings.data
        lengths = drawn_groups(1, config.longest, n, group, rng=rng)
        texts = random_texts(lengths, self.alphabet, rng=rng)
        return self.pairs([(text, in_order(config.order, text)) for text in texts])
