"""The checker on the whole table of operations, whose gradients are right: what it refuses there is
a false alarm.

    HYPOTHESIS_PROFILE=thorough python -m benchmarks.false_alarms LOG --seeds 5 --seconds 1200

All rows of tests/rows are drawn at one seed after the other, DRAWS times each. A draw that is
refused does not end anything: it is written to LOG with its row and seed. A run that was stopped
goes on where it was, and a finished one prints what LOG holds.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import hypothesis
import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tinygrad_cv.testing import load_profile

load_profile()  # tests.table asks for it

from tests.table import Row, check, turned  # noqa: E402
from tests.test_table import CASES, OF_COMPLEX  # noqa: E402

DRAWS = 4
Entry: TypeAlias = dict[str, Any]


def jobs(seeds: int, only: str) -> Iterator[tuple[int, str, Row, bool]]:
    """Seed, name and row, and whether its draws are turned into complex numbers."""
    rows = [(name, case, False) for name, case in CASES]
    rows += [(f"complex {name}", case, True) for name, case in OF_COMPLEX]
    for seed in range(seeds):
        for name, case, turn in rows:
            if only in name:
                yield seed, name, case, turn


def refused(case: Row, turn: bool, seed: int) -> list[str]:
    """The messages about those draws of a row that the checker refuses."""
    found = []

    @hypothesis.seed(seed)
    @settings(max_examples=DRAWS, database=None, phases=[Phase.generate], derandomize=False)
    @given(data=st.data(), rng=st.integers(0, 2**16))
    def draw(data: Any, rng: int) -> None:
        arguments = data.draw(turned(case) if turn else case.arguments)
        options = data.draw(case.options)
        try:
            check(case, arguments, options, rng)
        except Exception as error:
            called = f"rng {rng}, arguments {arguments!r}, options {options!r}"
            found.append(f"{type(error).__name__}: {error}\n  {called}")

    draw()
    return found


def read(log: Path) -> list[Entry]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def run(log: Path, profile: str, seeds: int, seconds: float, only: str) -> None:
    """All jobs that the log does not have yet, as long as there is time."""
    end = time.perf_counter() + seconds
    done = {(e["profile"], e["seed"], e["row"]) for e in read(log)}
    with log.open("a") as file:
        for seed, name, case, turn in jobs(seeds, only):
            if (profile, seed, name) in done:
                continue
            if time.perf_counter() > end:
                return
            found = refused(case, turn, seed)
            entry = {"profile": profile, "seed": seed, "row": name, "refused": found}
            print(json.dumps(entry), file=file, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--only", default="", help="a part of the names of the rows to draw")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    np.set_printoptions(floatmode="unique", threshold=10_000)
    run(args.log, settings.get_current_profile_name(), args.seeds, args.seconds, args.only)
    entries = read(args.log)
    alarms = 0
    for entry in entries:
        for message in entry["refused"]:
            print(f"[{entry['profile']}] {entry['row']}, seed {entry['seed']}: {message}\n")
        alarms += len(entry["refused"])
    print(f"{alarms} of about {DRAWS * len(entries)} draws refused, {len(entries)} rows and seeds")


if __name__ == "__main__":
    main()
