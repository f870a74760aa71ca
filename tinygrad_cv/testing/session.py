"""What the fixture `gradcheck` of the pytest plugin gives a test."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable

import numpy as np

from ..typing import PyTree
from .check import GradReport, check_vjp
from .frameworks import check
from .message import GradMismatch
from .operation import Function


class Gradcheck:
    """All checks, with a seed of their own, and the reports of those that passed."""

    def __init__(self, name: str) -> None:
        self.seed = zlib.crc32(name.encode())
        self.reports: list[GradReport] = []

    def __call__(self, f: Function, *args: PyTree, **options: PyTree) -> GradReport:
        """`check_vjp` of a pair, f and the function behind it, or else `check`."""
        pair = len(args) > 0 and callable(args[0]) and not isinstance(args[0], np.ndarray)
        __tracebackhide__ = True
        return self._run(check_vjp if pair else check, f, *args, **options)

    def __getattr__(self, name: str) -> Callable[..., GradReport]:
        """The check of this name: `jacobian` is `check_jacobian`."""
        function = getattr(importlib.import_module(__package__ or ""), f"check_{name}", None)
        if function is None:
            raise AttributeError(f"there is no check_{name}")
        return lambda *args, **options: self._run(function, *args, **options)

    def _run(
        self, function: Callable[..., GradReport], *args: PyTree, **options: PyTree
    ) -> GradReport:
        """A check with this seed; a failure is raised as if it began here."""
        __tracebackhide__ = True
        options.setdefault("rng", self.seed)
        try:
            report = function(*args, **options)
        except GradMismatch as mismatch:
            failure = mismatch.with_traceback(None)
        else:
            self.reports.append(report)
            return report
        raise failure

    def counts(self) -> dict[str, int]:
        """What the session's summary says."""
        return {
            "checks": len(self.reports),
            "derivatives agree": sum(r.elements for r in self.reports),
            "at kinks": sum(r.kinks for r in self.reports),
            "unresolved": sum(r.unresolved for r in self.reports),
        }
