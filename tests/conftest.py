"""Hypothesis profiles: `dev` for every run, `ci` where CI is set, `thorough` (HYPOTHESIS_PROFILE=thorough) for long ones."""

from __future__ import annotations

from tinygrad_cv.testing import load_profile

load_profile()
