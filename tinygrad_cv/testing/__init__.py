"""Gradient checks for anyone's operations: see README.md beside this file.

The checks need NumPy only; the strategies, `gradtest` and `load_profile` need hypothesis, which is
imported with them.
"""

from __future__ import annotations

import importlib
from typing import Any

from .. import rules as _rules  # noqa: F401 (so that the table is there, for messages and mutants)
from .adjoint import check_adjoint
from .check import GradReport, check_grad, check_jvp, check_vjp
from .frameworks import check
from .invariants import check_invariants
from .matrices import check_hessian, check_jacobian, check_sparsity
from .message import GradMismatch
from .mutation import assert_kills, mutants
from .operators import check_linear_operator

STRATEGIES = (
    "array_and_axis",
    "arrays",
    "attention_inputs",
    "axes",
    "broadcastable",
    "conv_inputs",
    "einsum_cases",
    "indices",
    "labels",
    "matmul_inputs",
    "matmul_shapes",
    "positive_definite",
    "shapes",
    "well_conditioned",
)

__all__ = [
    "GradMismatch",
    "GradReport",
    "assert_kills",
    "check",
    "check_adjoint",
    "check_grad",
    "check_hessian",
    "check_invariants",
    "check_jacobian",
    "check_jvp",
    "check_linear_operator",
    "check_sparsity",
    "check_vjp",
    "gradtest",
    "load_profile",
    "mutants",
    *STRATEGIES,
]


def __getattr__(name: str) -> Any:
    if name in ("gradtest", "load_profile"):
        return getattr(importlib.import_module(".decorator", __name__), name)
    if name in STRATEGIES:
        return getattr(importlib.import_module(".strategies", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
