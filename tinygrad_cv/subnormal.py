"""Subnormal numbers, those too small to have all their digits (below 1.2e-38 in float32), taken as zero for a while.

x86 processors compute with them many times slower. The moments of a weight whose gradient stays exactly zero, behind a ReLU
that is never active, say, shrink by a factor each step until they are such numbers, and remain so: after some 850 steps
a small network's Adam takes three times as long as at the start. The register that lets them count as zero is the thread's
own; the C library hands it out with the floating-point environment.
"""

from __future__ import annotations

import ctypes
import platform
import sys

FLUSH = 1 << 15 | 1 << 6  # in the register MXCSR: subnormal results become zero, subnormal arguments count as zero


class Environment(ctypes.Structure):
    """`fenv_t` of the C libraries for Linux on x86-64."""

    _fields_ = (("x87", ctypes.c_uint32 * 7), ("mxcsr", ctypes.c_uint32))


def _functions() -> tuple[ctypes._NamedFuncPointer, ctypes._NamedFuncPointer] | None:
    """What reads and sets the environment; None on other machines."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return None
    library = ctypes.CDLL(None)
    if not (hasattr(library, "fegetenv") and hasattr(library, "fesetenv")):
        return None
    return library.fegetenv, library.fesetenv


FUNCTIONS = _functions()


class subnormals_as_zero:  # named as a function, like no_grad
    """A context in which this thread computes with zero in place of subnormal numbers, on machines that can be told so."""

    def __enter__(self) -> None:
        if FUNCTIONS is not None:
            get, put = FUNCTIONS
            self.environment = Environment()
            self.place = ctypes.byref(self.environment)
            get(self.place)
            self.before = self.environment.mxcsr
            self.environment.mxcsr = self.before | FLUSH
            put(self.place)

    def __exit__(self, *_: object) -> None:
        if FUNCTIONS is not None:
            self.environment.mxcsr = self.before
            FUNCTIONS[1](self.place)
