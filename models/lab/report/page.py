"""A page that opens from disk: index.html with pictures, curves and figures of one or several runs beside it."""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv.files import atomic_write

from ..train import need

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } p { max-width: 44rem; }
section { border-top: 1px solid var(--line); margin-top: 2.5rem; }
nav { display: flex; flex-wrap: wrap; gap: 0 1.5rem; }
small, figcaption { opacity: .75; font-size: .875rem; } code { overflow-wrap: anywhere; }
.pictures { columns: 2 20rem; column-gap: 1.5rem; margin: 1rem 0; }
figure { margin: 0 0 1.25rem; break-inside: avoid; }
img { width: 100%; height: auto; border-radius: 4px; image-rendering: pixelated; }
img.curve { background: #fff; image-rendering: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9375rem; margin: 1rem 0; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; } tr.own { font-weight: 700; }
@media (max-width: 50rem) {  /* a row becomes a paragraph: its name, then its figures, each with what it is */
  table, tbody { display: block; } tr { display: flex; flex-wrap: wrap; gap: 0 .9rem; padding: .4rem 0;
    border-bottom: 1px solid var(--line); }
  tr:first-child, td:empty { display: none; } td { padding: 0; border: 0; } td:first-child { flex-basis: 100%; }
  td::before { content: attr(title) " "; opacity: .75; font-weight: 400; } td:first-child::before { content: none; }
}
"""


LEAST = 1e-10  # that a logarithmic plot shows
SMOOTHED = 0.05  # of a curve is averaged for its bold line, on either side


@dataclass(frozen=True)
class Section:
    """What a page tells of one run: facts, pictures (path and caption), a table whose first row is the run's own."""

    title: str
    text: str
    facts: Mapping[str, Any]
    pictures: Sequence[tuple[str, str]]
    curves: Sequence[tuple[str, str]]
    rows: Sequence[Mapping[str, Any]]
    meaning: str


def curves(log: Sequence[Mapping[str, float]], names: Sequence[str], path: Path) -> None:
    """The figures of a log against the step, each with its moving average."""
    lines = {name: ([line["step"] for line in log], [line[name] for line in log]) for name in names}
    plot(lines, "step", path, smooth=True)


def moving_average(y: Sequence[float]) -> list[float]:
    """The mean of each value and those around it; fewer of them at the ends."""
    reach = int(SMOOTHED * len(y))
    return [statistics.fmean(y[max(0, i - reach) : i + reach + 1]) for i in range(len(y))]


def plot(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], along: str, path: Path,
    *, log: bool = False, smooth: bool = False,
) -> None:  # fmt: skip
    """Named lines (x, y), `along` what x is; y logarithmic if `log`; with `smooth` pale under their moving averages."""
    figure = need("matplotlib.figure").Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for i, (name, (x, y)) in enumerate(lines.items()):
        if smooth:
            axes.plot(x, y, color=f"C{i}", linewidth=0.7, alpha=0.35)
        axes.plot(x, moving_average(y) if smooth else y, color=f"C{i}", label=name, linewidth=1.5)
    axes.set_xlabel(along)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if log:
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(LEAST, axes.get_ylim()[0]))
    axes.legend(frameon=False)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def draw_matrix(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], path: Path) -> None:
    """A matrix (rows, columns) as grey squares, dark where it is large, with what its rows and columns stand for."""
    size = (1 + 0.22 * values.shape[1], 0.8 + 0.22 * len(values))
    figure = need("matplotlib.figure").Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(values, cmap="Greys", vmin=0)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns)
    axes.xaxis.tick_top()
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def write_page(folder: Path, title: str, sections: Sequence[Section], text: str = "") -> Path:
    """Write the page, `text` under its title; its path."""
    page = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{STYLE}</style><h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(text)}</p>" if text else "",
    ]
    if len(sections) > 1:
        links = [f"<a href='#s{i}'>{html.escape(section.title)}</a>" for i, section in enumerate(sections)]
        page.append(f"<nav>{''.join(links)}</nav>")
    for i, section in enumerate(sections):
        facts = " &middot; ".join(
            f"{html.escape(k)}: <code>{html.escape(str(v))}</code>" for k, v in section.facts.items()
        )
        page += [
            f"<section id=s{i}><h2>{html.escape(section.title)}</h2>" if len(sections) > 1 else f"<section id=s{i}>",
            f"<p>{html.escape(section.text)}</p><p><small>{facts}</small></p>",
            f"<div class=pictures>{''.join(_figure(*picture) for picture in section.pictures)}</div>",
            _table(section.rows) if section.rows else "",
            f"<p><small>{html.escape(section.meaning)}</small></p>",
            f"<div class=pictures>{''.join(_figure(*picture, 'curve') for picture in section.curves)}</div></section>",
        ]
    path = folder / "index.html"
    with atomic_write(path) as file:
        file.write("\n".join(page).encode())
    return path


def _figure(name: str, caption: str, kind: str = "") -> str:
    text, image = html.escape(caption), html.escape(name, quote=True)
    return f"<figure><img class='{kind}' src='{image}' alt='{text}'><figcaption>{text}</figcaption></figure>"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = [name for name in rows[0] if name != "name"]
    head = "<tr><th>" + "".join(f"<th>{html.escape(name)}" for name in names)
    body = [
        f"<tr{'' if i else ' class=own'}><td>{html.escape(str(row['name']))}"
        + "".join(f"<td title='{html.escape(name, quote=True)}'>{_number(row.get(name))}" for name in names)
        for i, row in enumerate(rows)
    ]
    return f"<table>{head}{''.join(body)}</table>"


def _number(value: float | None) -> str:
    """Three digits of it; whole numbers as they are; nothing if there is none."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:#.3g}".rstrip(".")
