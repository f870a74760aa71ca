"""What the lab uses if it is installed: the modules of the `models` extra, such as tqdm."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import RunError


def need(module: str) -> Any:
    """A module of the `models` extra, or how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        message = f'{name} is missing; pip install "tinygrad_cv[models]" brings it'
        raise RunError(message) from None
