"""Freeze a DETR as the judge of captioned scenes, once: `python -m benchmarks.freeze_judge runs/judge`.

The run is one of `python -m models train detr --preset captions`. Its averaged weights, as float16, go to
models/lab/evaluation/evaluators/, its average precision, measured with these, to their metadata.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import tinygrad_cv as tg
from models.config import stored
from models.lab.cli import read_data, reopen
from models.lab.evaluation.detection import detection_metrics
from models.lab.run import Run
from models.lab.tasks.detr import DETRDetection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="the folder of a run of `train detr --preset captions`")
    args = parser.parse_args()
    run = Run(Path(args.run))
    config = run.config
    state, _ = run.metadata(tg.safetensors.load_metadata(run.folder / "checkpoint.safetensors"))
    task = reopen(args.run)
    assert isinstance(task, DETRDetection)
    halves = {}
    for name, array in task.learner.ema.state_dict().items():
        halves[name] = array.astype(np.float16) if array.dtype == np.float32 else array
    task.learner.ema.load_state_dict({name: half.astype(np.float32) for name, half in halves.items()})
    _, test = read_data(config["data"], config["root"])
    scenes = task.held_out(test, 500)
    metrics = detection_metrics(task.predictions(scenes), scenes.objects, len(test.classes))
    metadata = {
        "config": json.dumps(stored(task.settings.model)),
        "canvas": str(task.settings.data.canvas),
        "seed": str(config["seed"]),
        "steps": str(state["step"]),
    }
    metadata |= {name: f"{value:.4f}" for name, value in metrics.items()}
    folder = Path(__file__).parent.parent / "models/lab/evaluation/evaluators"
    path = folder / f"scenes-{config['data']}.safetensors"
    tg.save(halves, path, metadata)
    print(f"{path.name}: " + ", ".join(f"{name} {value:.3f}" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
