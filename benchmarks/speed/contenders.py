"""Who takes part, and who cannot in what."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, field

from .workloads import OPERATIONS, WORKLOADS, ViTSizes, sizes_of

ONE, ALL, FLOOR, HAND, EAGER, BEST = (
    "ours, one process",
    "ours, all cores",
    "its products alone",
    "NumPy by hand",
    "torch eager",
    "torch at its best",
)
TRAINING = [n for n, s in WORKLOADS.items() if getattr(s, "training", True)]


@dataclass(frozen=True)
class Entry:
    """A contender: its room in `benchmarks.speed`, the library it needs, and what it leaves out, with the reason."""

    module: str
    needs: str
    threads: int | None = None  # of BLAS and OpenMP; None for what the library takes
    leaves_out: dict[str, str] = field(default_factory=dict)


NOT_ASKED = "only models are compared with it"
MODELS_ONLY = dict.fromkeys(OPERATIONS, NOT_ASKED)
NO_CONVOLUTION = {"W3": "it has no layer for convolution that is meant to be fast"}
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

CONTENDERS: dict[str, Entry] = {
    ONE: Entry("ours", "tinygrad_cv", 1),
    ALL: Entry("ours_all_cores", "tinygrad_cv.parallel", 1, MODELS_ONLY),
    FLOOR: Entry("products", "numpy", 1, MODELS_ONLY),
    HAND: Entry("by_hand", "numpy", 1, MODELS_ONLY | {
        n: "it is written for three workloads" for n in WORKLOADS if n not in ("W1s", "W2s", "RNN")
    }),
    EAGER: Entry("torch_eager", "torch", CORES),
    BEST: Entry("torch_best", "torch", CORES, MODELS_ONLY),
    "torch.compile": Entry("torch_compiled", "torch", CORES, MODELS_ONLY),
    "jax.jit": Entry("peer_jax", "jax", None, MODELS_ONLY),
    "autograd": Entry("peer_autograd", "autograd", CORES, NO_CONVOLUTION | {
        n: why for n, why in MODELS_ONLY.items() if n != "chain, forward and backward"
    }),
    "mygrad": Entry("peer_mygrad", "mygrad", CORES, MODELS_ONLY | NO_CONVOLUTION | {
        n: "it has no erf" for n, s in WORKLOADS.items() if isinstance(s, ViTSizes)
    }),
    "tinygrad": Entry("peer_tinygrad", "tinygrad", None, MODELS_ONLY),
}  # fmt: skip


def entry(name: str, workload: str) -> Entry:
    """A contender for a workload: inference on all cores is BLAS with as many threads."""
    if name == ALL and not getattr(sizes_of(workload), "training", True):
        return Entry("ours", "tinygrad_cv", CORES)
    return CONTENDERS[name]


def absent(name: str, workload: str) -> str | None:
    """Why a contender does not take part in a workload, if so."""
    contender = entry(name, workload)
    why = contender.leaves_out.get(workload if workload in OPERATIONS else workload.split(" ")[0])
    if why:
        return why
    try:
        installed = importlib.util.find_spec(contender.needs) is not None
    except ModuleNotFoundError:
        installed = False
    return None if installed else f"{contender.needs} is not there"
