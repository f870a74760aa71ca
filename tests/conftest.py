"""Hypothesis profiles: `dev` for every run, `ci` where CI is set, `thorough` (HYPOTHESIS_PROFILE=thorough) for long ones.

There are thousands of property tests here, so that `dev` and `ci` draw four examples each, in place of ten.
"""

from __future__ import annotations

import signal
from collections.abc import Generator

import pytest
from hypothesis import settings

from tinygrad_cv.testing import load_profile

EXAMPLES = 4
SETTINGS = "_hypothesis_internal_use_settings"

# Where the tests run in the background of a script, Ctrl-C is ignored, by them and by the processes that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

load_profile()
if settings.default.max_examples > EXAMPLES and settings.get_current_profile_name() != "thorough":
    settings.register_profile("short", settings.default, max_examples=EXAMPLES)
    settings.load_profile("short")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Hypothesis puts one more layer around the settings of a parametrised test at each of its cases, and cannot look
    through a thousand of them: without a database it reads them by recursion. Here each case begins with the first."""
    test = getattr(item, "obj", None)
    first = getattr(test, SETTINGS, None)
    try:
        return (yield)
    finally:
        if first is not None:
            setattr(test, SETTINGS, first)
