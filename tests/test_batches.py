"""Shuffled batches: every row has its turn, and a run goes on from anywhere to the same bits."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cv import data
from tinygrad_cv.data.state import jsonable


@given(rows=st.integers(1, 20), size=st.integers(1, 20), drop_last=st.booleans(), seed=st.integers(0, 99))
def test_every_epoch_has_each_row_once_in_full_batches(rows: int, size: int, drop_last: bool, seed: int) -> None:
    size = min(size, rows)
    pair = (np.arange(rows), np.arange(rows)[:, None] * 2.0)
    found = data.batches(pair, size, rng=np.random.default_rng(seed), drop_last=drop_last, epochs=3)
    yielded = list(found)
    assert len(yielded) == 3 * found.per_epoch
    assert all(np.array_equal(x * 2, y[:, 0]) for x, y in yielded)
    for epoch in range(3):
        sizes = [len(x) for x, _ in yielded[epoch * found.per_epoch :][: found.per_epoch]]
        seen = np.concatenate([x for x, _ in yielded[epoch * found.per_epoch :][: found.per_epoch]])
        full, left = divmod(rows, size)
        assert sizes == [size] * full + ([left] if left and not drop_last else [])
        assert len(set(seen)) == len(seen) == (rows - left if drop_last else rows)


def test_the_seed_alone_gives_the_order_and_epochs_differ() -> None:
    runs = [list(data.batches(np.arange(50), 50, rng=np.random.default_rng(3), epochs=2)) for _ in range(2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0][0], runs[0][1])


KINDS = [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64]


@given(
    kind=st.sampled_from(KINDS), rows=st.integers(1, 9), size=st.integers(1, 9), steps=st.integers(0, 20),
    drop_last=st.booleans(), noise=st.booleans(),
)  # fmt: skip
def test_batches_resume_anywhere_to_the_same_bits(
    kind: Any, rows: int, size: int, steps: int, drop_last: bool, noise: bool
) -> None:
    """Also when the loop draws from the same generator between batches (`noise`)."""
    x = np.arange(rows)

    def start(seed: int) -> tuple[data.batches[np.ndarray], Iterator[list[float]]]:
        found = data.batches(x, min(size, rows), rng=np.random.Generator(kind(seed)), drop_last=drop_last)
        return found, ([*batch, found.rng.normal() if noise else 0.0] for batch in found)

    whole, loop = start(seed=1)
    for _ in range(steps):
        next(loop)
    state = json.loads(json.dumps(whole.state()))
    resumed, loop_again = start(seed=2)
    resumed.restore(state)
    assert resumed.state() == state
    assert list(itertools.islice(loop_again, 20)) == list(itertools.islice(loop, 20))
    assert resumed.state() == whole.state()


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_s_state_is_as_json_gives_it_back_and_draws_the_same(kind: Any) -> None:
    rng = np.random.Generator(kind(3))
    rng.normal(size=5)
    state = jsonable({"rng": rng.bit_generator.state, "shape": (2, 3)})
    assert state == json.loads(json.dumps(state))
    assert state["shape"] == [2, 3]
    again = np.random.Generator(kind(0))
    again.bit_generator.state = state["rng"]
    assert np.array_equal(again.integers(1000, size=9), rng.integers(1000, size=9))


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError):
        jsonable({"rng": np.random.default_rng(0)})


def test_batches_that_were_all_drawn_stay_so_after_a_restore() -> None:
    rng = np.random.default_rng(0)
    found = data.batches(np.arange(4), 2, rng=rng, epochs=1)
    assert len(list(found)) == 2
    again = data.batches(np.arange(4), 2, rng=rng, epochs=1)
    again.restore(found.state())
    assert list(again) == []


@pytest.mark.parametrize(
    "other",
    [
        {"arrays": np.arange(5)},
        {"size": 3},
        {"drop_last": False},
        {"rng": np.random.Generator(np.random.MT19937(0))},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_state_of_other_batches_is_refused(other: dict[str, Any]) -> None:
    options: dict[str, Any] = {"arrays": np.arange(6), "size": 2, "rng": np.random.default_rng(0)}
    state = data.batches(**options).state()
    with pytest.raises(ValueError, match="other batches"):
        data.batches(**options | other).restore(state)


@pytest.mark.parametrize(
    ("position", "message"), [(-1, "position is -1, where"), (4, "damaged: 4 of 3 batches")]
)
def test_a_damaged_state_is_refused(position: int, message: str) -> None:
    found = data.batches(np.arange(6), 2, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        found.restore({**found.state(), "position": position})


def test_a_batch_is_a_copy() -> None:
    x = np.zeros(4)
    next(data.batches(x, 4, rng=np.random.default_rng(0)))[:] = 1
    assert x.sum() == 0


@pytest.mark.parametrize(
    ("arrays", "size", "error", "words"),
    [
        ((np.zeros(3), np.zeros(4)), 1, ValueError, "different numbers of rows: 3, 4"),
        ([np.zeros(3), np.zeros(3)], 1, TypeError, "not of .list"),
        ((np.zeros(3), None), 1, TypeError, "ndarray, NoneType"),
        ((), 1, TypeError, "a tuple of such arrays"),
        (np.array(1.0), 1, TypeError, "an array with rows"),
        (np.zeros(3), 4, ValueError, "batches of 4 from 3 rows"),
        (np.zeros(3), 0, ValueError, "batches of 0"),
        (np.zeros(3), 2.5, ValueError, "batches of 2.5 .* a whole number from 1 to 3"),
        (np.zeros((0, 2)), 1, ValueError, "from 0 rows"),
    ],
)
def test_batches_of_unfit_arrays_are_refused(arrays: Any, size: int, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        data.batches(arrays, size, rng=np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"default_rng\(seed\), not 7"):
        data.batches(np.zeros(3), 1, rng=7)  # type: ignore[arg-type]
