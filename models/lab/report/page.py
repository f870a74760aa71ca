"""A page that opens from disk: index.html with the images, curves and metrics of runs beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from tinygrad_cv.files import atomic_write

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body {
  font: 16px/1.5 system-ui, sans-serif;
  max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
}
h1, h2 { line-height: 1.2; }
p { max-width: 44rem; }
section { border-top: 1px solid var(--line); margin-top: 2.5rem; }
nav { display: flex; flex-wrap: wrap; gap: 0 1.5rem; }
small, figcaption { opacity: .75; font-size: .875rem; }
code { overflow-wrap: anywhere; }
.images { columns: 2 20rem; column-gap: 1.5rem; margin: 1rem 0; }
figure { margin: 0 0 1.25rem; break-inside: avoid; }
img { width: 100%; height: auto; border-radius: 4px; image-rendering: pixelated; }
img.curve { background: #fff; image-rendering: auto; }
table {
  border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9375rem;
  margin: 1rem 0;
}
th, td {
  padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  vertical-align: bottom;
}
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.own { font-weight: 700; }
/* On a narrow screen a row becomes a paragraph: its name, then its numbers, each with its name. */
@media (max-width: 50rem) {
  table, tbody { display: block; }
  tr {
    display: flex; flex-wrap: wrap; gap: 0 .9rem; padding: .4rem 0;
    border-bottom: 1px solid var(--line);
  }
  tr:first-child, td:empty { display: none; }
  td { padding: 0; border: 0; }
  td:first-child { flex-basis: 100%; }
  td::before { content: attr(title) " "; opacity: .75; font-weight: 400; }
  td:first-child::before { content: none; }
}
"""


@dataclass(frozen=True)
class Section:
    """What a page shows of one run.

    Images and curves are pairs of a path and a caption; the first row of the table is the run's
    own, and `metrics_help` explains its columns.
    """

    title: str
    text: str
    facts: Mapping[str, Any]
    images: Sequence[tuple[str, str]]
    curves: Sequence[tuple[str, str]]
    rows: Sequence[Mapping[str, Any]]
    metrics_help: str


def write_page(folder: Path, title: str, sections: Sequence[Section], text: str = "") -> Path:
    """Write the page, with `text` under its title. Returns its path."""
    several = len(sections) > 1
    page = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{STYLE}</style><h1>{escape(title)}</h1>",
    ]
    if text:
        page.append(f"<p>{escape(text)}</p>")
    if several:
        page.append(_contents(sections))
    for i, section in enumerate(sections):
        heading = f"<h2>{escape(section.title)}</h2>" if several else ""
        page.append(f"<section id=s{i}>{heading}")
        page += _body(section)
        page.append("</section>")
    path = folder / "index.html"
    with atomic_write(path) as file:
        file.write("\n".join(page).encode())
    return path


def _contents(sections: Sequence[Section]) -> str:
    links = [f"<a href='#s{i}'>{escape(section.title)}</a>" for i, section in enumerate(sections)]
    return f"<nav>{''.join(links)}</nav>"


def _body(section: Section) -> list[str]:
    images = [_figure(name, caption) for name, caption in section.images]
    curves = [_figure(name, caption, "curve") for name, caption in section.curves]
    text = f"<p>{escape(section.text)}</p>" if section.text else ""
    return [
        text,
        f"<p><small>{_facts(section.facts)}</small></p>",
        f"<div class=images>{''.join(images)}</div>",
        _table(section.rows),
        f"<p><small>{escape(section.metrics_help)}</small></p>",
        f"<div class=images>{''.join(curves)}</div>",
    ]


def _facts(facts: Mapping[str, Any]) -> str:
    items = []
    for name, value in facts.items():
        items.append(f"{escape(name)}: <code>{escape(str(value))}</code>")
    return " &middot; ".join(items)


def _figure(name: str, caption: str, kind: str = "") -> str:
    text = escape(caption)
    image = f"<img class='{kind}' src='{escape(name)}' alt='{text}'>"
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    names = [name for name in rows[0] if name != "name"]
    head = "".join(f"<th>{escape(name)}" for name in names)
    body = []
    for i, row in enumerate(rows):
        kind = " class=own" if i == 0 else ""
        body.append(f"<tr{kind}><td>{escape(str(row['name']))}")
        for name in names:
            body.append(f"<td title='{escape(name)}'>{_number(row.get(name))}")
    return f"<table><tr><th>{head}{''.join(body)}</table>"


def _number(value: float | None) -> str:
    """Three digits of it; whole numbers as they are; nothing if there is none."""
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    return f"{value:#.3g}".rstrip(".")
