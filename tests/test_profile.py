"""The profile counts every operation once, forward and backward, and says where each was called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn


def profiled() -> tuple[tg.profile.__class__, Any]:
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(4, 8, rng=rng), nn.LayerNorm(8), nn.Linear(8, 3, rng=rng))
    x = rng.standard_normal((5, 4)).astype(np.float32)
    with tg.profile() as p:
        loss = kernels.cross_entropy(model(tg.Tensor(x)), np.arange(5) % 3)
        loss = loss * 2
        loss.backward()
    return p, model


def test_every_operation_is_counted_forward_and_backward() -> None:
    p, _ = profiled()
    calls = {(row["name"], row["phase"]): row["calls"] for row in p.rows()}
    names = {"linear": 2, "layer_norm": 1, "cross_entropy": 1, "np.multiply": 1}
    assert calls == {(name, phase): n for name, n in names.items() for phase in ("forward", "backward")}
    modules = [(e.name, e.depth) for e in p.events if e.phase == "module"]
    assert modules == [("Sequential", 0), ("Linear", 1), ("LayerNorm", 1), ("Linear", 1)]


def test_times_add_up_and_parts_lie_in_their_whole() -> None:
    p, _ = profiled()
    events = p.events
    whole = [e for e in events if e.depth == 0]
    own = sum(row["seconds"] for row in p.rows()) + sum(e.seconds - e.inner for e in events if e.phase == "module")
    assert own == pytest.approx(sum(e.seconds for e in whole))
    assert all(e.inner <= e.seconds for e in events)
    linear = next(e for e in events if e.name == "linear" and e.phase == "forward")
    assert linear.bytes == 5 * 8 * 4
    backward = next(e for e in events if e.name == "layer_norm" and e.phase == "backward")
    assert backward.bytes == (5 * 8 + 8 + 8) * 4


def test_table_and_page_tell_the_operations_and_their_lines(tmp_path: Path) -> None:
    p, _ = profiled()
    assert "cross_entropy" in str(p) and "backward" in str(p)
    p.write(tmp_path / "profile.html")
    page = (tmp_path / "profile.html").read_text()
    assert page.count("<div class=") == 1 + len(p.events)
    assert "test_profile.py" in page and "loss = loss * 2" in page


def test_outside_its_context_nothing_is_measured_and_results_are_the_same() -> None:
    p, model = profiled()
    before, gradients = len(p.events), [w.grad.copy() for w in model.parameters()]
    for w in model.parameters():
        w.grad = None
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    kernels.cross_entropy(model(tg.Tensor(x)), np.arange(5) % 3)
    assert len(p.events) == before
    _, again = profiled()
    for a, b in zip(gradients, again.parameters(), strict=True):
        np.testing.assert_array_equal(a, b.grad)


def test_an_operation_that_fails_leaves_the_profile_usable() -> None:
    with tg.profile() as p:
        x = tg.Tensor(np.ones((2, 3)), requires_grad=True)
        with pytest.raises(ValueError, match="inner axes"):
            x @ x
        (x * x).sum().backward()
    assert {row["name"] for row in p.rows()} == {"np.multiply", "np.sum"}
    assert "np.multiply" in str(p)


def test_an_empty_profile() -> None:
    with tg.profile() as p:
        pass
    assert p.rows() == [] and "in all" in str(p)
