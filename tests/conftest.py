"""Hypothesis profiles: `dev` for every run, `thorough` (HYPOTHESIS_PROFILE=thorough) for long ones."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("dev", max_examples=10, deadline=None, suppress_health_check=quiet)
settings.register_profile("ci", max_examples=10, deadline=None, derandomize=True, suppress_health_check=quiet)
settings.register_profile("thorough", max_examples=200, deadline=None, suppress_health_check=quiet)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))
