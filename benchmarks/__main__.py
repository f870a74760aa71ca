"""The comparison of speed: `python -m benchmarks` prints tables, writes the results as JSON and draws a chart.

Workloads are steps of training as `benchmarks/speed/workloads.py` defines them, contenders those of `contenders.py`; how
they are compared stands at the top of `compare.py`. The results of a run stay in the JSON file: one with --only
replaces those workloads there and keeps the others.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from models.lab.progress import progress_bar
from tinygrad_cv.files import atomic_write

from .speed import growth, report
from .speed.compare import SEED, measure
from .speed.contenders import BEST, CONTENDERS, EAGER, absent
from .speed.workloads import OPERATIONS, WORKLOADS

HERE = Path(__file__).parent
GROUPS = {"models": list(WORKLOADS), "operations": list(OPERATIONS)}


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument(
        "--only", action="append", choices=[*GROUPS, *WORKLOADS, *OPERATIONS], metavar="WORKLOAD",
        help=f"{', '.join(GROUPS)}, or one of {', '.join([*WORKLOADS, *OPERATIONS])}",
    )  # fmt: skip
    options.add_argument("--contender", action="append", choices=list(CONTENDERS), help="who takes part (default: all)")
    options.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    options.add_argument("--seconds", type=float, default=0.6, help="of a turn; of single operations a fifth")
    options.add_argument("--json", type=Path, default=HERE / "speed.json")
    options.add_argument("--chart", type=Path, default=HERE / "speed.png")
    options.add_argument(
        "--growth", action="store_true", help="time and memory by batch, width, depth and length instead"
    )
    options.add_argument("--show", action="store_true", help="print and draw what the JSON file holds, measure nothing")
    return options


def read(path: Path) -> dict[str, Any]:
    """The results of earlier runs on this machine."""
    fresh = {"machine": report.machine(), "seed": SEED, "workloads": {}}
    if not path.exists():
        return fresh
    before: dict[str, Any] = json.loads(path.read_text())
    return before if before["machine"] == fresh["machine"] else fresh


def write(path: Path, results: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(results, indent=1).encode())


def show(results: dict[str, Any], chart: Path) -> None:
    models = {w: results[w] for w in WORKLOADS if w in results}
    operations = {w: results[w] for w in OPERATIONS if w in results}
    tables = []
    if models:
        tables += [
            report.times(models),
            report.against(models, EAGER),
            report.against(models, BEST),
            report.memory(models),
        ]
    if operations:
        tables += [report.times(operations, "µs"), report.overhead(operations)]
    print("\n\n".join([*tables, report.same_work(results), report.skipped(results)]))
    if any(report.median(models, w, EAGER) for w in models):
        report.chart(models, chart)


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    if args.growth:
        growth.main(args.rounds, args.seconds, HERE / "growth.json", HERE / "growth.png")
        return 0
    everything = json.loads(args.json.read_text()) if args.show else read(args.json)
    chosen = [w for word in args.only or GROUPS for w in GROUPS.get(word, [word])]
    names = args.contender or list(CONTENDERS)
    command = shlex.join(["python", "-m", "benchmarks", *(sys.argv[1:] if arguments is None else arguments)])
    turns = sum(2 + args.rounds for w in chosen for n in names if not absent(n, w))
    if not args.show:
        with progress_bar(turns, "turns") as bar:
            for workload in chosen:

                def tick(name: str, workload: str = workload) -> None:
                    bar.set_description(f"{workload}: {name}")
                    bar.update()

                seconds = args.seconds / 5 if workload in OPERATIONS else args.seconds
                result = measure(workload, names, args.rounds, seconds, tick)
                everything["workloads"][workload] = {"command": command, **result}
                write(args.json, everything)
    results = everything["workloads"]
    show({w: results[w] for w in [*WORKLOADS, *OPERATIONS] if w in results and (args.show or w in chosen)}, args.chart)
    return int("OTHER WORK" in report.skipped(results))


if __name__ == "__main__":
    sys.exit(main())
