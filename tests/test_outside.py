"""Used from outside: a project that has nothing but the installed package checks other people's functions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.parity

PROJECT = '''
import autograd
import autograd.numpy as anp
import numpy as np
import pytest
import torch
from tinygrad_cv.testing import GradMismatch, arrays, check_invariants, check_vjp, gradtest, load_profile

load_profile()
X = np.random.default_rng(0).normal(size=(3, 4))


def tanh_backward(g, y, x):
    return g * (1 - y * y)


def test_a_numpy_pair():
    check_vjp(np.tanh, tanh_backward, X)
    check_invariants((np.tanh, tanh_backward), X)
    with pytest.raises(GradMismatch, match="sign is wrong"):
        check_vjp(np.tanh, lambda g, y, x: -tanh_backward(g, y, x), X)


@gradtest(arrays(), backward=tanh_backward)
def test_a_numpy_pair_by_property(x):
    return np.tanh(x)


def test_a_function_of_autograd():
    f = lambda x: anp.log(1 + anp.exp(x)) / (1 + x**2)
    check_vjp(f, lambda g, y, x: autograd.make_vjp(f)(x)[0](g), X)


def from_torch(f):
    def forward(*args):
        return f(*map(torch.from_numpy, args)).numpy()

    def backward(g, y, *args):
        inputs = [torch.from_numpy(a).requires_grad_() for a in args]
        return [v.numpy() for v in torch.autograd.grad(f(*inputs), inputs, torch.from_numpy(g))]

    return forward, backward


@pytest.mark.parametrize("f", [torch.nn.functional.gelu, torch.nn.functional.silu, lambda x: torch.softmax(x, -1)])
def test_a_function_of_torch(f):
    check_vjp(*from_torch(f), X)


def test_two_arguments_of_torch():
    check_vjp(*from_torch(torch.matmul), X, X.T.copy())


def test_a_bug_in_torch_is_seen():
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0].cos()

    with pytest.raises(GradMismatch, match="a factor 2 too much"):
        check_vjp(*from_torch(Doubled.apply), X)
'''


def test_a_scratch_project_checks_numpy_autograd_and_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("autograd")
    (tmp_path / "test_theirs.py").write_text(PROJECT)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "CI": "1"})
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout
