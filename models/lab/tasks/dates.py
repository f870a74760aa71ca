"""Dates as people write them, to ISO 8601: "sunday, 3 may 1998", "05/03/98" -> "1998-05-03".

Dates of the test part are never seen in training, in whatever form.
"""

from __future__ import annotations

import calendar
import datetime
from functools import cache
from string import ascii_lowercase, digits
from typing import Any, ClassVar

import numpy as np

from .pairs import Pairs
from .transduction import (
    TINY_MODEL,
    TINY_TRAINING,
    TextTransduction,
    TransductionSettings,
    TransductionTraining,
    drawn_groups,
)

YEARS = (1950, 2049)  # so that two figures say which year is meant
HELD_OUT = 10  # every tenth date, of all in random order, is for testing
MONTHS = [name.lower() for name in calendar.month_name]
WEEKDAYS = [name.lower() for name in calendar.day_name]

FORMS = (
    "{weekday}, {day} {month} {year}",  # sunday, 3 may 1998
    "{weekday:.3} {day} {month:.3} {year}",  # sun 3 may 1998
    "{weekday}, {month} {ordinal}, {year}",  # sunday, may 3rd, 1998
    "{day} {month} {year}",
    "the {ordinal} of {month} {year}",  # the 3rd of may 1998
    "{month} {day}, {year}",
    "{month:.3} {day:02} {short_year:02}",  # may 03 98
    "{day}-{month:.3}-{short_year:02}",  # 3-may-98
    "{number:02}/{day:02}/{short_year:02}",  # 05/03/98: with strokes the month comes first
    "{number}/{day}/{year}",
    "{day}.{number}.{year}",  # 3.5.1998: with full stops the day
    "{day:02}.{number:02}.{short_year:02}",
)
LETTERS = " ,-./" + digits + ascii_lowercase  # of the forms
ISO_LETTERS = "-" + digits


def ordinal(day: int) -> str:
    """1st, 2nd, 3rd, 4th, ..."""
    if day in (11, 12, 13):
        return f"{day}th"
    ending = {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def written(date: datetime.date, form: str) -> str:
    """A date in one of the FORMS."""
    return form.format(
        weekday=WEEKDAYS[date.weekday()],
        day=date.day,
        ordinal=ordinal(date.day),
        month=MONTHS[date.month],
        number=date.month,
        year=date.year,
        short_year=date.year % 100,
    )


@cache
def days(part: str) -> np.ndarray:
    """The dates of the training or the test part, as numbers of days; none is in both.

    `datetime.date.fromordinal` makes a date of such a number.
    """
    first = datetime.date(YEARS[0], 1, 1).toordinal()
    last = datetime.date(YEARS[1], 12, 31).toordinal()
    mixed = np.random.default_rng(0).permutation(np.arange(first, last + 1))
    tested = np.arange(len(mixed)) % HELD_OUT == 0
    chosen: np.ndarray = mixed[tested if part == "test" else ~tested]
    return chosen


def dates(
    forms: np.ndarray, among: np.ndarray, *, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Some of the `days`, each in the form of a number, and in ISO 8601.

    [("sunday, 3 may 1998", "1998-05-03"), ...]
    """
    pairs = []
    for form, day in zip(forms, rng.choice(among, len(forms)), strict=True):
        date = datetime.date.fromordinal(int(day))
        pairs.append((written(date, FORMS[form]), date.isoformat()))
    return pairs


class Dates(TextTransduction):
    """Dates as people write them -> ISO 8601; the dates of the test part are never seen."""

    title = "Understanding dates"
    presets: ClassVar = {
        "tiny": TransductionSettings(TINY_MODEL, TINY_TRAINING),
        "dates": TransductionSettings(training=TransductionTraining(steps=2000)),
    }
    letters = LETTERS
    alphabet = ISO_LETTERS
    along = ""

    def pool(self, dataset: Any, part: str) -> np.ndarray:
        return days(part)

    def groups(self) -> dict[int, str]:
        some = datetime.date(1998, 5, 3)
        return {i: written(some, form) for i, form in enumerate(FORMS)}

    def draw(
        self, n: int, pool: Any, group: int | None = None, *, rng: np.random.Generator
    ) -> Pairs:
        forms = drawn_groups(0, len(FORMS) - 1, n, group, rng=rng)
        return self.pairs(dates(forms, pool, rng=rng))
