"""A pytest plugin: the option --gradcheck-profile and the fixture `gradcheck`.

It stands beside the package, and imports nothing, so that it costs nothing where it is not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tinygrad_cv.testing.session import Gradcheck

PROFILE = "HYPOTHESIS_PROFILE"  # where `load_profile` looks
PROPERTY = (
    "gradcheck"  # what a test's reports are kept under: they cross to pytest-xdist's controller
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option --gradcheck-profile."""
    group = parser.getgroup("gradcheck", "gradient checks of tinygrad_cv")
    group.addoption(
        "--gradcheck-profile",
        choices=["dev", "ci", "thorough"],
        help="Hypothesis profile: dev (quick), ci (quick, always the same cases) or thorough",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load the profile, and let a conftest that is read later load the same."""
    config.pluginmanager.register(Summary(), "gradcheck-summary")
    profile = config.getoption("--gradcheck-profile")
    if profile is None:
        return
    from tinygrad_cv.testing import load_profile

    patch = pytest.MonkeyPatch()
    patch.setenv(PROFILE, profile)
    config.add_cleanup(patch.undo)
    load_profile(profile)


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Iterator[Gradcheck]:
    """Checks a gradient: gradcheck(forward, backward, *args), or gradcheck(f, *args) as `check`.

    The other checks are its methods: gradcheck.jacobian, .hessian, .jvp, .adjoint, .invariants and
    so on. Each is seeded by the test's name, and counted in the session's summary.
    """
    from tinygrad_cv.testing.session import Gradcheck

    checks = Gradcheck(request.node.nodeid)
    yield checks
    if checks.reports:
        request.node.user_properties.append((PROPERTY, checks.counts()))


class Summary:
    """Adds up what all tests have checked, and says it in the last lines."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the counts of a test that is over."""
        if report.when != "teardown":
            return
        for name, counts in report.user_properties:
            if name == PROPERTY and isinstance(counts, dict):
                for key, number in counts.items():
                    self.counts[key] = self.counts.get(key, 0) + number

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """One line, if anything was checked."""
        if self.counts:
            words = ", ".join(f"{number} {key}" for key, number in self.counts.items())
            terminalreporter.write_line(f"gradcheck: {words}")
