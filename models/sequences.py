"""Pairs of sequences to learn from, drawn endlessly: strips of digits, written dates, letters to copy or reverse."""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

END, START, FIRST = 0, 1, 2  # what ends and starts a sequence, and the number of the first symbol of an alphabet
IGNORED = -100  # label of what lies behind the end


@dataclass(frozen=True, eq=False)
class Pairs:
    """Sequences, and what is to become of them.

    source: numbers of symbols (B, S), or columns of pictures (B, S, H[, C]); its first `lengths` (B,) places count.
    target: numbers of symbols (B, L), END behind the last one and up to the longest.
    """

    source: np.ndarray
    lengths: np.ndarray
    target: np.ndarray

    @property
    def inputs(self) -> np.ndarray:
        """What a decoder is told in training: START, then the target but its last symbol."""
        return np.concatenate([np.full_like(self.target[:, :1], START), self.target[:, :-1]], axis=1)

    @property
    def labels(self) -> np.ndarray:
        """What it is to answer: the target to the first END; behind it nothing counts."""
        ended = np.cumsum(self.target == END, axis=1) > 1
        return np.where(ended, IGNORED, self.target)


def encode(texts: Sequence[str], alphabet: str) -> tuple[np.ndarray, np.ndarray]:
    """Texts as numbers of symbols with END behind them, (B, longest + 1), and their lengths without it, (B,)."""
    number = {symbol: FIRST + i for i, symbol in enumerate(alphabet)}
    lengths = np.array([len(text) for text in texts])
    symbols = np.full((len(texts), lengths.max() + 1), END)
    for row, text in zip(symbols, texts, strict=True):
        unknown = [symbol for symbol in text if symbol not in number]
        if unknown:
            raise ValueError(f"{unknown[0]!r} in {text!r} is none of the symbols {alphabet!r}")
        row[: len(text)] = [number[symbol] for symbol in text]
    return symbols, lengths


def decode(symbols: np.ndarray, alphabet: str) -> list[str]:
    """Numbers of symbols (B, L) as texts, each up to its END; a START that was written among them is shown as '?'."""
    table = "\0?" + alphabet
    return ["".join(table[i] for i in row).partition("\0")[0] for row in symbols]


# ------------------------------------------------------------------------------------------------------------- strips


def strips(
    images: np.ndarray, lengths: np.ndarray, gap: int, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures (N, H, W[, C]) side by side, `lengths` (B,) of them, with up to `gap` empty columns before each.

    Gives the strips' columns (B, widest, H[, C]), their widths (B,) and which picture stands where, (B, longest), with -1
    behind the last.
    """
    size, longest = len(lengths), lengths.max()
    width = images.shape[2]
    chosen = rng.integers(0, len(images), (size, longest))
    starts = np.cumsum(rng.integers(0, gap + 1, (size, longest)) + width, axis=1) - width
    widths = starts[np.arange(size), lengths - 1] + width
    chosen[np.arange(longest) >= lengths[:, None]] = -1
    columns = np.zeros((size, widths.max(), images.shape[1], *images.shape[3:]), images.dtype)
    rows, places = np.nonzero(chosen >= 0)
    turned = np.swapaxes(images, 1, 2)  # (N, W, H[, C])
    columns[rows[:, None], starts[rows, places][:, None] + np.arange(width)] = turned[chosen[rows, places]]
    return columns, widths, chosen


# -------------------------------------------------------------------------------------------------------------- dates

YEARS = (1950, 2049)  # so that two figures say which year is meant
HELD_OUT = 10  # every tenth date, of all in random order, is for testing
MONTHS = [name.lower() for name in calendar.month_name]
WEEKDAYS = [name.lower() for name in calendar.day_name]

FORMS: tuple[Callable[[datetime.date], str], ...] = (
    lambda d: f"{WEEKDAYS[d.weekday()]}, {d.day} {MONTHS[d.month]} {d.year}",  # sunday, 3 may 1998
    lambda d: f"{WEEKDAYS[d.weekday()][:3]} {d.day} {MONTHS[d.month][:3]} {d.year}",  # sun 3 may 1998
    lambda d: f"{WEEKDAYS[d.weekday()]}, {MONTHS[d.month]} {ordinal(d.day)}, {d.year}",  # sunday, may 3rd, 1998
    lambda d: f"{d.day} {MONTHS[d.month]} {d.year}",
    lambda d: f"the {ordinal(d.day)} of {MONTHS[d.month]} {d.year}",  # the 3rd of may 1998
    lambda d: f"{MONTHS[d.month]} {d.day}, {d.year}",
    lambda d: f"{MONTHS[d.month][:3]} {d.day:02} {d.year % 100:02}",  # may 03 98
    lambda d: f"{d.day}-{MONTHS[d.month][:3]}-{d.year % 100:02}",  # 3-may-98
    lambda d: f"{d.month:02}/{d.day:02}/{d.year % 100:02}",  # 05/03/98: with strokes the month comes first
    lambda d: f"{d.month}/{d.day}/{d.year}",
    lambda d: f"{d.day}.{d.month}.{d.year}",  # 3.5.1998: with full stops the day
    lambda d: f"{d.day:02}.{d.month:02}.{d.year % 100:02}",
)
DATE_LETTERS = " ,-./0123456789" + "".join(chr(i) for i in range(ord("a"), ord("z") + 1))
DATE_FIGURES = "-0123456789"


def ordinal(day: int) -> str:
    """1st, 2nd, 3rd, 4th, ..."""
    ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


@cache
def days(part: str) -> np.ndarray:
    """The dates of the training or the test part, as numbers of days (`date.fromordinal`); none is in both."""
    first, last = datetime.date(YEARS[0], 1, 1).toordinal(), datetime.date(YEARS[1], 12, 31).toordinal()
    mixed = np.random.default_rng(0).permutation(np.arange(first, last + 1))
    tested = np.arange(len(mixed)) % HELD_OUT == 0
    chosen: np.ndarray = mixed[tested if part == "test" else ~tested]
    return chosen


def dates(forms: np.ndarray, among: np.ndarray, *, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Some of the `days`, each in the form of a number, and as ISO 8601 has it: ("sunday, 3 may 1998", "1998-05-03")."""
    drawn = [datetime.date.fromordinal(int(day)) for day in rng.choice(among, len(forms))]
    return [(FORMS[form](date), date.isoformat()) for form, date in zip(forms, drawn, strict=True)]


# ------------------------------------------------------------------------------------------------------------ letters


def letters(lengths: np.ndarray, alphabet: str, *, rng: np.random.Generator) -> list[str]:
    """Random texts of these lengths."""
    drawn = rng.integers(0, len(alphabet), (len(lengths), lengths.max()))
    return ["".join(alphabet[i] for i in row[:length]) for row, length in zip(drawn, lengths, strict=True)]


ORDERS = {"same": slice(None), "reversed": slice(None, None, -1)}


def in_order(order: str, text: str) -> str:
    """A text as it is, or reversed."""
    if order not in ORDERS:
        raise ValueError(f"the order is one of {', '.join(ORDERS)}, not {order!r}")
    return text[ORDERS[order]]
