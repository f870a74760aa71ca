"""Hypothesis profiles: `dev` for every run, `ci` where CI is set, `thorough` (HYPOTHESIS_PROFILE=thorough) for long ones.

There are thousands of property tests here, so that `dev` and `ci` draw four examples each, in place of ten.
"""

from __future__ import annotations

from hypothesis import settings

from tinygrad_cv.testing import load_profile

EXAMPLES = 4

load_profile()
if settings.default.max_examples > EXAMPLES and settings.get_current_profile_name() != "thorough":
    settings.register_profile("short", settings.default, max_examples=EXAMPLES)
    settings.load_profile("short")
