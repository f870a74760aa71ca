"""Print the worst of each function: `python -m tests.accuracy [--only NAME] [--worst 10]`.

First of the functions whose limit is 8 units, then of the others, with the reason for their limit.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence

from tests.accuracy.measure import ALLOWED, Finding, measure
from tests.accuracy.table import CASES, LIMITS, NARROWED


def worst_of(case_names: set[str], found: Sequence[Finding], count: int) -> list[Finding]:
    """One finding for each function, the worst, and of these so many."""
    worst: dict[str, Finding] = {}
    for finding in sorted(found, key=lambda f: -f.error):
        if finding.case in case_names:
            worst.setdefault(finding.case, finding)
    return list(worst.values())[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="the functions whose name contains this")
    parser.add_argument("--worst", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    cases = [case for case in CASES if arguments.only in case.name]
    found = []
    for case in cases:
        for dtype in case.dtypes:
            found += measure(case, dtype, arguments.seed)
    points = sum(f.compared for f in found)
    print(f"{len(cases)} functions, {points} derivatives; error in units of their condition\n")
    for finding in worst_of({c.name for c in cases} - LIMITS.keys(), found, arguments.worst):
        print(finding)
    print(f"\nwith a limit above {ALLOWED:g}:")
    for finding in worst_of(set(LIMITS), found, len(LIMITS)):
        print(f"{finding}\n           {LIMITS[finding.case][1]}")
    print("\nnarrower than the dtype:")
    for name, reason in NARROWED.items():
        print(f"{name}: {reason}")


if __name__ == "__main__":
    main()
