"""Runs of generative models with classes, as classifiers by Bayes' theorem, in one table.

python -m benchmarks.bayes runs/gmm-0 runs/hmm-0

A task takes part that has `log_prior` and `class_log_likelihoods`; all runs are of one data set.
Beside them stand a Gaussian for each class, the nearest neighbour and kernel ridge regression.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from models.lab.cli import read_data, reopen
from models.lab.evaluation.bayes import bayes_metrics
from models.lab.evaluation.generation import format_report
from models.lab.run import Run
from models.lab.tasks.em import class_gaussians, discriminative


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    args = parser.parse_args()
    configs = [Run(Path(folder)).config for folder in args.runs]
    if len({config["data"] for config in configs}) > 1:
        raise SystemExit("the runs are of several data sets; compare those of one")
    training, test = read_data(configs[0]["data"], configs[0]["root"])
    rows: list[dict[str, Any]] = []
    for folder in args.runs:
        task: Any = reopen(folder)
        if not hasattr(task, "class_log_likelihoods"):
            raise SystemExit(f"{folder} holds a {task.title}, which has no p(image | class)")
        rows.append({"name": Path(folder).name, **bayes_metrics(task, test.images, test.labels)})
    gaussians = class_gaussians(training)
    metrics = bayes_metrics(gaussians, test.images, test.labels)
    rows.append({"name": "a Gaussian for each class", **metrics})
    rows += discriminative(training, test)
    print(format_report(rows))


if __name__ == "__main__":
    main()
