"""How many threads the products of NumPy use."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

PREFIXES, SUFFIXES = ("scipy_openblas_", "openblas_"), ("64_", "")  # NumPy's own OpenBLAS; that of a system


def _functions() -> tuple[Callable[[int], object], Callable[[], int]] | None:
    """The functions of the OpenBLAS that NumPy is linked with to set and to get the number, or None."""
    library = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]  # finds what it is linked with, too
    for prefix in PREFIXES:
        for suffix in SUFFIXES:
            try:
                return (
                    getattr(library, f"{prefix}set_num_threads{suffix}"),
                    getattr(library, f"{prefix}get_num_threads{suffix}"),
                )
            except AttributeError:
                continue
    return None


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside this context products use one thread. With a BLAS other than OpenBLAS nothing changes."""
    functions = _functions()
    if functions is None:
        yield
        return
    set_number, get_number = functions
    before = get_number()
    set_number(1)
    try:
        yield
    finally:
        set_number(before)
