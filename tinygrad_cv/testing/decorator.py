"""A whole property test in one decorator, and the profiles that tests run under."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st

from .check import Settings, check_once
from .invariants import check_invariants
from .message import GradMismatch

PROFILES = {
    "dev": {"max_examples": 10},
    "ci": {"max_examples": 10, "derandomize": True},
    "thorough": {"max_examples": 200},
}


def load_profile(name: str | None = None) -> None:
    """Run Hypothesis under "dev" (quick), "ci" (quick, the same cases each time) or "thorough" (200 cases a test).

    None: what the environment variable HYPOTHESIS_PROFILE says, else "ci" where CI is set, else "dev".
    """
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    for profile, choices in PROFILES.items():
        settings.register_profile(profile, deadline=None, suppress_health_check=quiet, **choices)  # type: ignore[arg-type]
    settings.load_profile(
        name or os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
    )


def gradtest(
    *arguments: st.SearchStrategy[Any],
    backward: Callable[..., Any] | None = None,
    order: int = 1,
    invariants: bool = True,
    examples: int | None = None,
    options: Mapping[str, st.SearchStrategy[Any]] | None = None,
    **checks: Any,
) -> Callable[[Callable[..., Any]], Callable[[], None]]:
    """Turn a function into a property test of its gradient: each strategy draws an argument, a single one may draw the
    tuple of all.

        @gradtest(arrays((2, 3)), arrays((3,)), order=2)
        def test_softplus(x, bias):
            return np.logaddexp(0, x + bias)

    With `backward` the function is the forward half of a pair, as in `check_vjp`. `options` draws keyword arguments;
    `checks` are the keywords of `check_grad`. The cases that Hypothesis tries are steered towards large errors. A test
    with kinks in more than half of its cases fails as meaningless.
    """
    drawn = arguments[0] if len(arguments) == 1 else st.tuples(*arguments)
    keywords = st.fixed_dictionaries(dict(options or {}))

    def decorate(function: Callable[..., Any]) -> Callable[[], None]:
        chosen = Settings("check_grad" if backward is None else "check_vjp", order=order, **checks)

        def test() -> None:
            kinked: list[bool] = []

            @given(drawn, keywords)
            def case(args: Any, keys: dict[str, Any]) -> None:
                f = functools.partial(function, **keys) if keys else function
                b = (
                    functools.partial(backward, **keys)
                    if keys and backward is not None
                    else backward
                )
                args = args if isinstance(args, tuple) else (args,)
                report = check_once(f, b, args, chosen)
                if invariants:
                    check_invariants(f if b is None else (f, b), *args, wrt=chosen.wrt)
                target(
                    float(np.log10(report.worst + 1e-30)),
                    label="difference as a share of what is allowed",
                )
                kinked.append(report.kinks > 0)

            one = settings(
                settings.default, report_multiple_bugs=False
            )  # the first mismatch says enough
            (one if examples is None else settings(one, max_examples=examples))(case)()
            if sum(kinked) > len(kinked) / 2:
                raise GradMismatch(
                    f"{function.__name__}: {sum(kinked)} of {len(kinked)} cases stand on a kink, where a derivative says "
                    "little; keep away from it with arrays(avoid=..., min_gap=...)"
                )

        test.__name__, test.__qualname__ = function.__name__, function.__qualname__
        test.__doc__, test.__module__ = function.__doc__, function.__module__
        return test

    return decorate
