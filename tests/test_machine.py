"""Freed memory is kept where the C library can be told so, and nothing breaks where it cannot."""

from __future__ import annotations

import ctypes
import platform
from typing import Any

import pytest

from tinygrad_cv.machine import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_glibc_is_told() -> None:
    assert keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch: Any) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()
