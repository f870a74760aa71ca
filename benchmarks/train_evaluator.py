"""Train the frozen evaluator of a data set, once: `python -m benchmarks.train_evaluator digits` (or mnist, with --root).

A small classifier, pixels -> 128 -> 64 features -> 10 classes, ReLU between; Adam with decoupled weight decay, cosine
schedule. Its weights go to models/lab/evaluation/evaluators/, its test accuracy to their metadata.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_cv as tg
from models.lab.evaluation.generation import Evaluator
from tinygrad_cv import data, kernels, nn, optim


def train(name: str, root: str | None, epochs: int, seed: int) -> tuple[dict[str, np.ndarray], float]:
    """The trained weights and the accuracy on the test images."""
    read: Any = {"digits": lambda part: data.digits(part), "mnist": lambda part: data.mnist(root, part)}[name]
    training, test = read("train"), read("test")
    rng = np.random.default_rng(seed)
    pixels = int(np.prod(training.images.shape[1:]))
    model = nn.Sequential(
        nn.Linear(pixels, 128, rng=rng), nn.ReLU(), nn.Linear(128, 64, rng=rng), nn.ReLU(), nn.Linear(64, 10, rng=rng)
    )
    optimizer = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    batches = data.batches((training.images, training.labels), 64, rng=rng, epochs=epochs)
    steps = epochs * (len(training.images) // 64)
    factor = optim.cosine(steps)
    for step, (images, labels) in enumerate(batches):
        optimizer.lr = 2e-3 * factor(step)
        loss = kernels.cross_entropy(model(tg.Tensor(images.reshape(len(images), -1))), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    state = {name: array.copy() for name, array in model.state_dict().items()}
    return state, Evaluator.from_state(state).accuracy(test.images, test.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["digits", "mnist"])
    parser.add_argument("--root", help="the folder of the data, for mnist")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    state, accuracy = train(args.name, args.root, args.epochs, args.seed)
    folder = Path(__file__).parent.parent / "models/lab/evaluation/evaluators"
    path = folder / f"{args.name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    tg.save(state, path, {"test accuracy": f"{accuracy:.4f}", "seed": str(args.seed), "epochs": str(args.epochs)})
    print(f"{path.name}: {accuracy:.2%} of the test images right")


if __name__ == "__main__":
    main()
