"""A page that opens from disk: index.html with pictures, curves and figures of one or several runs beside it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygrad_cv.files import atomic_write

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
