"""What a comparison is: measurements, which are kept in a file, and a section of a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypedDict

import numpy as np

from tinygrad_cv import schema
from tinygrad_cv.files import atomic_write

from ..errors import RunError
from ..report.page import Section

Record = dict[str, Any]  # what was measured, of what


class ComparisonFile(TypedDict):
    """The file of a comparison."""

    data: str
    measured: list[dict[str, object]]


Figures = list[tuple[str, str]]  # a file and its caption


@dataclass(frozen=True)
class Given:
    """What is compared, on which images, how often."""

    data: str
    root: str | None
    training: Any
    test: Any
    names: Sequence[str]
    seeds: int
    folder: Path
    labels: Sequence[int] = ()  # how many images have one
    missing: Sequence[str] = ()  # parts of an image


class Measurement(NamedTuple):
    """Something to measure: what tells it from others (name, seed, ...), and how it is done."""

    about: Record
    measure: Callable[[], Record]

    @property
    def text(self) -> str:
        """What tells it from others, in words."""
        name, *others = self.about.items()
        return ", ".join([str(name[1]), *(f"{key} {value}" for key, value in others)])


class Subject:
    """One comparison."""

    title: ClassVar[str]
    text: ClassVar[str]
    metrics_help: ClassVar[str]
    names: ClassVar[tuple[str, ...]]  # of what can be compared
    seeds: ClassVar[int] = 3  # unless others are given
    uses: ClassVar[tuple[str, ...]] = ()  # of `labels`, `missing`

    def usual_labels(self, classes: int, total: int) -> list[int]:
        """How many labels there are in turn, if nobody says."""
        return [min(100, total)]

    def measurements(self, given: Given) -> Iterator[Measurement]:
        """All that there is to measure."""
        raise NotImplementedError

    def rows(self, records: Sequence[Record]) -> list[Record]:
        """A table of what is measured so far."""
        raise NotImplementedError

    def draw(self, records: Sequence[Record], folder: Path) -> tuple[Figures, Figures]:
        """Images and curves of what is measured so far."""
        return [], []

    def section(self, kept: Kept) -> Section:
        """The section of the page that shows it."""
        records = kept.records
        images, curves = self.draw(records, kept.folder)
        seeds = {record["seed"] for record in records}
        return Section(
            title=self.title,
            text=self.text,
            facts={"data": kept.data, "seeds": len(seeds)},
            images=images,
            curves=curves,
            rows=self.rows(records),
            metrics_help=self.metrics_help,
        )


class Kept:
    """What a comparison has measured: records in a file of its folder."""

    def __init__(self, folder: Path, name: str, data: str) -> None:
        self.folder, self.data = folder, data
        self.path = folder / f"{name}.json"
        self.records: list[Record] = []
        if self.path.is_file():
            content: Any = self._read()
            if content["data"] != data:
                raise RunError(f"{folder} compares on {content['data']}; choose another --out")
            self.records = content["measured"]

    def _read(self) -> object:
        """What the file holds. Raises RunError, with its name, if it is damaged."""
        try:
            content = schema.parse(self.path.read_bytes())
            schema.check(content, ComparisonFile, "it")
        except ValueError as error:
            raise RunError(f"{self.path} is damaged: {error}; remove it to measure anew") from None
        return content

    def has(self, about: Record) -> bool:
        """Whether something is measured already."""
        return any(about.items() <= record.items() for record in self.records)

    def add(self, record: Record) -> None:
        """Keep what was measured."""
        self.records.append(record)
        content = {"data": self.data, "measured": self.records}
        with atomic_write(self.path) as file:
            file.write(json.dumps(content, indent=1).encode())


def of(records: Sequence[Record], **about: object) -> list[Record]:
    """The records of something."""
    return [record for record in records if about.items() <= record.items()]


def means(records: Sequence[Record], metrics: Sequence[str]) -> Record:
    """The mean of each metric over the records that have it, and the spread of the accuracy."""
    row: Record = {}
    for metric in metrics:
        values = [record[metric] for record in records if metric in record]
        row[metric] = float(np.mean(values)) if values else None
        if metric == "accuracy":
            row["spread"] = float(np.std(values)) if len(values) > 1 else None
    return row


def in_order(names: Sequence[str], records: Sequence[Record]) -> list[str]:
    """Those of some names of which there are records."""
    there = {record["name"] for record in records}
    return [name for name in names if name in there]
