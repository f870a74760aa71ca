"""Planted mistakes in front of gradient checkers: `python -m benchmarks.checkers [--json FILE]`.

Every pair of `planted/` goes to each checker of `peers.py`, at the same arguments; the checkers run
in turn on each pair. A checker that is not installed is named and left out. `--kind KIND` runs one
kind, `--ours` this project's checker alone, `--missed` lists what that misses and refuses.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv.files import atomic_write
from tinygrad_cv.testing import GradMismatch

from .peers import Autograd, Check, Checker, Differences, Jax, NotTaken, OurInvariants, Ours, Torch
from .planted import MISTAKES, NASTY, TWINS, Pair, forget

REPEATS = 1
Row = dict[str, Any]
Result = dict[str, Any]


def checkers(rng: int = 0) -> tuple[list[Checker], list[str]]:
    """Those that are installed, and the names of those that are not."""
    present: list[Checker] = [Ours(rng), OurInvariants()]
    missing = []
    peers: dict[str, Callable[[], Checker]] = {
        "torch slow": lambda: Torch(False),
        "torch fast": lambda: Torch(True),
        "jax": Jax,
        "autograd": Autograd,
        "central differences": Differences,
    }
    for name, make in peers.items():
        try:
            present.append(make())
        except ImportError:
            missing.append(name)
    return present, missing


def outcome(check: Check) -> Row:
    """Whether the check fails, the first words of its message, seconds. Any exception counts."""
    start = time.perf_counter()
    words = ""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            caught = check() is False
    except GradMismatch as error:
        caught = True
        words = str(error).partition("\n")[0]
    except Exception as error:
        caught = True
        words = f"{type(error).__name__}: {str(error).strip()[:100]}"
    seconds = round(time.perf_counter() - start, 6)
    return {"caught": caught, "words": words, "seconds": seconds}


def cases(kind: str | None = None) -> list[tuple[str, Pair]]:
    """(role, pair): mistakes, hidden ones (they do not show), twins, nasty ones."""
    listed = [("mistake" if pair.shows else "hidden", pair) for pair in MISTAKES]
    listed += [("twin", pair) for pair in TWINS]
    listed += [("nasty", pair) for pair in NASTY]
    return [(role, pair) for role, pair in listed if kind in (None, pair.kind)]


def compare(
    repeats: int = REPEATS,
    kind: str | None = None,
    only: list[Checker] | None = None,
    rng: int = 0,
) -> Result:
    """The outcome of every checker on every case, and how long it takes."""
    present, missing = checkers(rng) if only is None else (only, [])
    rows = []
    for role, pair in cases(kind):
        outcomes: dict[str, list[Row]] = {}
        for _ in range(repeats):
            for checker in present:
                forget()
                try:
                    with np.errstate(all="ignore"):
                        check = checker.check(pair)
                except NotTaken:
                    continue
                outcomes.setdefault(checker.name, []).append(outcome(check))
        row: Row = {"kind": pair.kind, "name": pair.name, "role": role, "outcomes": {}}
        for name, found in outcomes.items():
            seconds = statistics.median(each["seconds"] for each in found)
            row["outcomes"][name] = {**found[-1], "seconds": seconds}
        rows.append(row)
    return {"checkers": [c.name for c in present], "missing": missing, "rows": rows}


# --------------------------------------------------------------------------------------- tables


def count(rows: list[Row], name: str) -> str:
    """How many of the cases that a checker takes it fails, and how many it does not take."""
    taken = [row["outcomes"][name]["caught"] for row in rows if name in row["outcomes"]]
    left = len(rows) - len(taken)
    if not taken:
        return "-"
    return f"{sum(taken)}/{len(taken)}" + (f" +{left}" if left else "")


def by_kind(result: Result, roles: tuple[str, ...]) -> list[str]:
    """A table of the cases of some roles, with a row for each kind and one for all."""
    names = result["checkers"]
    rows = [row for row in result["rows"] if row["role"] in roles]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for kind in kinds:
        own = [row for row in rows if row["kind"] == kind]
        lines.append(f"| {kind} | " + " | ".join(count(own, name) for name in names) + " |")
    if len(kinds) > 1:
        cells = " | ".join(count(rows, name) for name in names)
        lines.append(f"| **in all** | {cells} |")
    return lines


def times(result: Result) -> list[str]:
    """The time of each checker: of all cases that it takes, and beside ours on right gradients."""
    names = result["checkers"]
    ours = names[0]
    right = [row["outcomes"] for row in result["rows"] if row["role"] in ("twin", "nasty")]
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    totals, ratios = [], []
    for name in names:
        every = [row["outcomes"] for row in result["rows"]]
        total = sum(found[name]["seconds"] for found in every if name in found)
        both = [found for found in right if name in found and ours in found]
        shares = [found[name]["seconds"] / found[ours]["seconds"] for found in both]
        totals.append(f"{total:.1f}")
        ratios.append(f"{statistics.median(shares):.2f}" if shares else "-")
    lines.append("| all cases that it takes, seconds | " + " | ".join(totals) + " |")
    lines.append("| right ones, by ours (median) | " + " | ".join(ratios) + " |")
    return lines


def table(result: Result) -> str:
    """The comparison in Markdown."""
    parts = {
        "Caught of the mistakes that it takes (+ those that it has no form for)": ("mistake",),
        "Caught of the mistakes that do not show at the given arguments": ("hidden",),
        "False alarms on their right twins": ("twin",),
        "False alarms on right gradients that look nasty": ("nasty",),
    }
    lines = []
    for title, roles in parts.items():
        if not any(row["role"] in roles for row in result["rows"]):
            continue
        lines += [title + ":", "", *by_kind(result, roles), ""]
    lines += ["Time:", "", *times(result)]
    if result["missing"]:
        lines += ["", f"Not installed: {', '.join(result['missing'])}."]
    return "\n".join(lines)


def missed(result: Result) -> str:
    """What our checkers miss, and what they refuse though it is right, with their words."""
    lines = []
    for row in result["rows"]:
        wrong = row["role"] in ("mistake", "hidden")
        for name, found in row["outcomes"].items():
            if name == OurInvariants.name and wrong:
                continue
            if name in (Ours.name, OurInvariants.name) and found["caught"] != wrong:
                verdict = "MISSED" if wrong else f"REFUSED by {name}"
                lines.append(f"{verdict} ({row['kind']}) {row['name']}  {found['words']}")
    return "\n".join(lines)


def as_json(result: Result) -> str:
    """All figures, a line for each case; of the messages only our checkers'."""
    lines = []
    for row in result["rows"]:
        outcomes = {name: dict(found) for name, found in row["outcomes"].items()}
        for name, found in outcomes.items():
            if name not in (Ours.name, OurInvariants.name):
                del found["words"]
        lines.append(json.dumps({**row, "outcomes": outcomes}))
    head = json.dumps({"checkers": result["checkers"], "missing": result["missing"]})
    rows = ",\n".join(lines)
    return f'{head[:-1]}, "rows": [\n{rows}\n]}}\n'


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write all figures there, too")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--kind", help="this kind only")
    parser.add_argument("--ours", action="store_true", help="no other checkers")
    parser.add_argument("--rng", type=int, default=0, help="the seed of this project's checker")
    parser.add_argument("--missed", action="store_true", help="list what ours gets wrong")
    args = parser.parse_args()
    only: list[Checker] | None = [Ours(args.rng), OurInvariants()] if args.ours else None
    result = compare(args.repeats, args.kind, only, args.rng)
    print(table(result))
    if args.missed:
        print("\n" + missed(result))
    if args.json:
        with atomic_write(args.json) as file:
            file.write(as_json(result).encode())


if __name__ == "__main__":
    main()
