"""A whole property test in one decorator, and the profiles that tests run under."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings, target
from hypothesis import strategies as st

from ..typing import PyTree
from .check import GradReport, Settings, check_once
from .clock import Clock
from .invariants import check_invariants
from .message import GradMismatch
from .operation import Function
from .shrink import Check, shrink

PROFILES: dict[str, dict[str, Any]] = {
    "dev": {"max_examples": 10},
    "ci": {"max_examples": 10, "derandomize": True},
    "thorough": {"max_examples": 200},
}


# Arguments are made smaller by `shrink`, in bounded time, in place of Hypothesis.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.target)


class Failure(NamedTuple):
    """What `shrink` takes."""

    mismatch: GradMismatch
    args: PyTree
    check: Check
    clock: Clock


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
            __tracebackhide__ = True
            kinked: list[bool] = []
            failed: list[Failure] = []

            @given(drawn, keywords)
            def case(args: PyTree, keys: dict[str, Any]) -> None:
                if failed:  # Hypothesis tries once more what has failed
                    raise failed[0].mismatch
                f, b = function, backward
                if keys:
                    f = functools.partial(function, **keys)
                    b = None if backward is None else functools.partial(backward, **keys)
                args = args if isinstance(args, tuple) else (args,)

                def check(args: PyTree, clock: Clock) -> GradReport:
                    report = check_once(f, b, args, chosen, clock)
                    if invariants:
                        check_invariants(f if b is None else (f, b), *args, wrt=chosen.wrt)
                    return report

                clock = Clock(chosen.budget)
                try:
                    report = check(args, clock)
                except GradMismatch as mismatch:
                    failed.append(Failure(mismatch, args, check, clock))
                    raise
                error = float(np.log10(report.worst + 1e-30))
                target(error, label="difference as a share of what is allowed")
                kinked.append(report.kinks > 0)

            configured = settings(settings.default, report_multiple_bugs=False, phases=PHASES)
            if examples is not None:
                configured = settings(configured, max_examples=examples)
            try:
                configured(case)()
            except GradMismatch:
                smallest = shrink(*failed[0])
            else:
                smallest = None
            if smallest is not None:
                raise smallest.with_text(str(smallest))
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
