"""What the lab uses if it is installed: the modules of the `models` extra, such as tqdm."""

from __future__ import annotations

import importlib
from typing import Any

from tinygrad_cv import parallel

from .errors import RunError


def progress_bar(total: int, what: str, done: int = 0, *, passing: bool = False) -> Any:
    """tqdm's bar over steps, on rank 0 only.

    A passing one appears after two seconds and leaves nothing behind.
    """
    tqdm = need("tqdm")
    settings = {"delay": 2, "leave": False, "unit": ""} if passing else {"unit": "step"}
    hidden = parallel.team().rank > 0
    return tqdm.tqdm(
        total=total, initial=done, desc=what, dynamic_ncols=True, disable=hidden, **settings
    )


def need(module: str) -> Any:
    """A module of the `models` extra, or how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        message = f'{name} is missing; pip install "tinygrad_cv[models]" brings it'
        raise RunError(message) from None
