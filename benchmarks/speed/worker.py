"""One contender with one workload in a process of its own: reads `losses` or `time SECONDS`, answers in JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tinygrad_cv import safetensors


def contender(name: str, workload: str, weights: Any) -> Any:
    """A contender by name, made only in its own process, so that no other library is loaded beside it."""
    if name == "ours":
        from .ours import Contender

        return Contender(workload, weights)
    import torch

    from . import torch_eager

    torch.set_num_threads(2)
    return torch_eager.Contender(workload, weights, fused=name == "torch, fused Adam")


def main() -> None:
    name, workload, path = sys.argv[1:]
    work, done = contender(name, workload, safetensors.load(path)), 0
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "losses":
            answer: Any = [work.step(i) for i in range(5)]
            done = 5
        else:
            answer, end = [], time.perf_counter() + float(argument)
            while time.perf_counter() < end or not answer:
                start = time.perf_counter()
                work.step(done)
                done += 1
                answer.append(time.perf_counter() - start)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
