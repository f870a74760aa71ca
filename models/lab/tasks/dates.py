"""Dates as people write them, to ISO 8601: "sunday, 3 may 1998", "05/03/98", "3rd of may 1998" -> "1998-05-03".

Dates of the test part are never seen in training, in whatever form.
"""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import numpy as np

from .pairs import Pairs
from .transduction import TextTransduction, TransductionConfig

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


class Dates(TextTransduction):
    """Dates as people write them -> ISO 8601; the dates of the test part are never seen in training."""

    title = "Understanding dates"
    presets: ClassVar = {
        "tiny": TransductionConfig(size=8, heads=2, hidden=8, steps=100, batch=4, warm_up=5),
        "dates": TransductionConfig(steps=2000),
    }
    letters, alphabet, along = DATE_LETTERS, DATE_FIGURES, ""

    def pool(self, given: Any, part: str) -> np.ndarray:
        return days(part)

    def groups(self) -> dict[int, str]:
        some = datetime.date(1998, 5, 3)
        return {i: form(some) for i, form in enumerate(FORMS)}

    def draw(self, n: int, pool: Any, group: int | None = None, *, rng: np.random.Generator) -> Pairs:
        forms = rng.integers(0, len(FORMS), n) if group is None else np.full(n, group)
        return self.pairs(dates(forms, pool, rng=rng))
