"""A page that opens from disk: index.html with pictures, curves and figures of one or several runs beside it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygrad_cv.files import atomic_write

from .train import need

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } section { border-top: 1px solid var(--line); margin-top: 2.5rem; }
figure { margin: 0; } figcaption { opacity: .75; font-size: .9rem; }
img { max-width: 100%; height: auto; border-radius: 4px; } img.curve { background: #fff; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0; align-items: start; }
.pictures figure { flex: 1 1 18rem; } .pictures figure.large { flex-basis: 100%; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr.own { font-weight: 700; } code { overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 0 1.5rem; } small { opacity: .75; } pre { white-space: pre-wrap; }
"""


LEAST = 1e-10  # that a logarithmic plot shows


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
    """The figures of a log against the step."""
    lines = {name: ([line["step"] for line in log], [line[name] for line in log]) for name in names}
    plot(lines, "step", path)


def plot(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], along: str, path: Path, *, log: bool = False
) -> None:
    """Named lines (x, y), `along` what x is; y logarithmic if `log`."""
    figure = need("matplotlib.figure").Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for name, (x, y) in lines.items():
        axes.plot(x, y, label=name, linewidth=1)
    axes.set_xlabel(along)
    if log:
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(LEAST, axes.get_ylim()[0]))
    axes.legend(frameon=False)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def write_page(folder: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write the page; its path."""
    page = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{html.escape(title)}</title><style>{STYLE}</style><h1>{html.escape(title)}</h1>",
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
        + "".join(f"<td>{row[name]:.3g}" if name in row else "<td>" for name in names)
        for i, row in enumerate(rows)
    ]
    return f"<div class=wide><table>{head}{''.join(body)}</table></div>"
