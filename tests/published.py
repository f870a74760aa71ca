"""Counting the parameters of published sizes, without drawing their weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from tinygrad_cv import nn
from tinygrad_cv.nn import init


@contextmanager
def unfilled_weights() -> Iterator[None]:
    """Inside this context initialisers draw nothing: they give zeros at once."""

    def unfilled(shape: tuple[int, ...], *args: Any, **options: Any) -> np.ndarray:
        return np.broadcast_to(np.float32(0), shape)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in vars(init).items():
            if callable(value) and getattr(value, "__module__", "") == init.__name__:
                patch.setattr(init, name, unfilled)
        yield


def parameter_count(model: nn.Module) -> int:
    return sum(p.size for p in model.parameters())
