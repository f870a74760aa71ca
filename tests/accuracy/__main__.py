"""Print the worst findings: `python -m tests.accuracy [--only NAME] [--worst 10] [--seed 0]`."""

from __future__ import annotations

import argparse

import numpy as np

from tests.accuracy.measure import measure
from tests.accuracy.table import CASES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="the cases whose name contains this")
    parser.add_argument("--worst", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="")
    arguments = parser.parse_args()
    found = []
    for case in CASES:
        if arguments.only in case.name:
            for dtype in case.dtypes:
                if arguments.dtype in np.dtype(dtype).name:
                    found += measure(case, dtype, arguments.seed)
    found.sort(key=lambda finding: -finding.error)
    for finding in found[: arguments.worst]:
        print(finding)


if __name__ == "__main__":
    main()
