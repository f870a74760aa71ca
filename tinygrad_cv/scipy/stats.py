"""scipy.stats for tensors: distributions, with their parameters given in each call or before.

tg.scipy.stats.norm.logpdf(x, loc, scale)
tg.scipy.stats.norm(loc, scale).logpdf(x)
"""

from __future__ import annotations

import functools
from typing import Any

from ..tensor import TABLE
from .mirror import mirror, with_door

_function, __dir__ = mirror("stats")


def __getattr__(name: str) -> Any:
    """A distribution or a function of scipy.stats, fit for tensors."""
    found = _function(name)
    is_distribution = hasattr(found, "rvs") and not isinstance(found, type)
    return Distribution(found) if is_distribution else found


class Distribution:
    """A distribution of SciPy's, whose methods in the calculus table work on tensors."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return with_door(getattr(self._original, name))

    def __dir__(self) -> list[str]:
        return dir(self._original)

    def __call__(self, *args: Any, **kwargs: Any) -> Frozen:
        """The distribution of these parameters."""
        return Frozen(self._original, args, kwargs)


class Frozen:
    """A distribution whose parameters are given, tensors among them."""

    def __init__(self, original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._original, self._args, self._kwargs = original, args, kwargs

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._original, name)
        if method not in TABLE:
            return getattr(self._original(*self._args, **self._kwargs), name)
        if name == "entropy":
            return functools.partial(with_door(method), *self._args, **self._kwargs)
        return functools.partial(self._of_point, name)

    def _of_point(self, name: str, x: Any) -> Any:
        """A method of a point, at x."""
        method = with_door(getattr(self._original, name))
        return method(x, *self._args, **self._kwargs)
