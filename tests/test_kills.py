"""Jobs that are killed: a few with `-m parallel`, many with `-m slow`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fcntl")


def kills(*words: str) -> None:
    """`python -m tests.kills`, in a process that may have a disk of its own."""
    program = [sys.executable, "-m", "tests.kills", *words]
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(program, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 accidents" in done.stdout


@pytest.mark.parallel
def test_killed_jobs_end_in_the_same_bits() -> None:
    kills("--count", "12", "--seed", "0")


@pytest.mark.slow
def test_many_killed_jobs_end_in_the_same_bits() -> None:
    kills("--count", "500", "--seed", "1")
