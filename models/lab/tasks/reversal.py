"""Copying and reversing random letters: what an encoder-decoder can carry over.

There is nothing to understand, and nothing to guess from: each letter must be remembered, or looked up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from .pairs import Pairs, in_order
from .transduction import TextTransduction, TransductionConfig


@dataclass(frozen=True)
class LettersConfig(TransductionConfig):
    """What makes a model that copies or reverses."""

    order: str = "reversed"  # or same
    letters: Annotated[int, 1, 26] = 26  # in the alphabet
    longest: int = 20  # of what is trained on; shorter ones are as frequent


def letters(lengths: np.ndarray, alphabet: str, *, rng: np.random.Generator) -> list[str]:
    """Random texts of these lengths."""
    drawn = rng.integers(0, len(alphabet), (len(lengths), lengths.max()))
    return ["".join(alphabet[i] for i in row[:length]) for row, length in zip(drawn, lengths, strict=True)]


class Reversal(TextTransduction):
    """Random letters -> the same ones from the last to the first, or as they are."""

    title = "Copying and reversing"
    presets: ClassVar = {
        "tiny": LettersConfig(size=8, heads=2, hidden=8, steps=100, batch=4, longest=4, warm_up=5),
        "letters": LettersConfig(),
    }
    along = "letters"

    def __init__(self, config: LettersConfig, training: Any, *, rng: np.random.Generator) -> None:
        in_order(config.order, "")  # raises for an unknown one
        self.letters = self.alphabet = "abcdefghijklmnopqrstuvwxyz"[: config.letters]
        super().__init__(config, training, rng=rng)

    def pool(self, given: Any, part: str) -> None:
        return None

    def groups(self) -> dict[int, str]:
        """Up to half as long again as what was trained on."""
        longest = self.config.longest
        step = max(1, longest // 4)
        return {n: f"{n} letters" for n in range(step, longest + 2 * step + 1, step)}

    def draw(self, n: int, pool: Any, group: int | None = None, *, rng: np.random.Generator) -> Pairs:
        lengths = rng.integers(1, self.config.longest + 1, n) if group is None else np.full(n, group)
        return self.pairs([(text, in_order(self.config.order, text)) for text in letters(lengths, self.alphabet, rng=rng)])
