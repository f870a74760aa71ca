"""A whole property test in one decorator, and the profiles that tests run under."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st

from ..typing import PyTree
from .check import Settings, check_once
from .invariants import check_invariants
from .message import GradMismatch
from .operation import Function

PROFILES: dict[str, dict[str, Any]] = {
    "dev": {"max_examples": 10},
    "ci": {"max_examples": 10, "derandomize": True},
    "thorough": {"max_examples": 200},
}


def load_profile(name: str | None = None) -> None:
    """Run Hypothesis under a profile: "dev", "ci" or "thorough".

    "dev" is quick, "ci" is quick with the same cases each time, "thorough" tries 200 cases a
    test. None: what the environment variable HYPOTHESIS_PROFILE names, else "ci" where CI is set,
    else "dev".
    """
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    for profile, choices in PROFILES.items():
        settings.register_profile(profile, deadline=None, suppress_health_check=quiet, **choices)
    usual = "ci" if os.environ.get("CI") else "dev"
    settings.load_profile(name or os.environ.get("HYPOTHESIS_PROFILE", usual))


def gradtest(
    *arguments: st.SearchStrategy[Any],
    backward: Function | None = None,
    order: int = 1,
    invariants: bool = True,
    examples: int | None = None,
    options: Mapping[str, st.SearchStrategy[Any]] | None = None,
    **checks: PyTree,
) -> Callable[[Function], Callable[[], None]]:
    """Turn a function into a property test of its gradient.

    Each strategy draws an argument; a single one may draw the tuple of all.

        @gradtest(arrays((2, 3)), arrays((3,)), order=2)
        def test_softplus(x, bias):
            return np.logaddexp(0, x + bias)

    With `backward` the function is the forward half of a pair, as in `check_vjp`. `options` draws
    keyword arguments; `checks` are the keywords of `check_grad`. The cases that Hypothesis tries
    are steered towards large errors. The test raises GradMismatch for a wrong gradient, and if
    more than half of its cases stand on a kink, where a derivative means little.
    """
    drawn = arguments[0] if len(arguments) == 1 else st.tuples(*arguments)
    keywords = st.fixed_dictionaries(dict(options or {}))

    def decorate(function: Function) -> Callable[[], None]:
        call = "check_grad" if backward is None else "check_vjp"
        chosen = Settings(call, order=order, **checks)

        def test() -> None:
            kinked: list[bool] = []

            @given(drawn, keywords)
            def case(args: PyTree, keys: dict[str, Any]) -> None:
                f, b = function, backward
                if keys:
                    f = functools.partial(function, **keys)
                    b = None if backward is None else functools.partial(backward, **keys)
                args = args if isinstance(args, tuple) else (args,)
                report = check_once(f, b, args, chosen)
                if invariants:
                    check_invariants(f if b is None else (f, b), *args, wrt=chosen.wrt)
                error = float(np.log10(report.worst + 1e-30))
                target(error, label="difference as a share of what is allowed")
                kinked.append(report.kinks > 0)

            configured = settings(settings.default, report_multiple_bugs=False)
            if examples is not None:
                configured = settings(configured, max_examples=examples)
            configured(case)()
            if sum(kinked) > len(kinked) / 2:
                raise GradMismatch(
                    f"{function.__name__}: {sum(kinked)} of {len(kinked)} cases stand on a kink, "
                    "where a derivative says little; keep away from it with "
                    "arrays(avoid=..., min_gap=...)"
                )

        test.__name__ = function.__name__
        test.__qualname__ = function.__qualname__
        test.__doc__ = function.__doc__
        test.__module__ = function.__module__
        return test

    return decorate
