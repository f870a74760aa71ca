"""Mutated files of each kind: a few in every run of the tests, many with `-m slow`."""

from __future__ import annotations

import pytest

from tests.fuzz import KINDS, fuzz

pytest.importorskip("resource")

FEW = 60
MANY = {**dict.fromkeys(KINDS, 100_000), "runs": 20_000}


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_are_read_right_or_refused_by_name(kind: str) -> None:
    ends, accidents = fuzz(kind, FEW, seed=0)
    assert not accidents, accidents[0]
    assert ends["refused"] and ends["right"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutated_files_are_read_right_or_refused_by_name(kind: str) -> None:
    ends, accidents = fuzz(kind, MANY[kind], seed=1)
    assert not accidents, f"{len(accidents)} accidents, such as {accidents[0]}"
    assert ends["refused"] and ends["right"]
