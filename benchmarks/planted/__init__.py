"""Mistakes as people make them in hand-written gradients, and right gradients that look suspicious.

Each room, a module named after its kind, enters pairs in plain NumPy. `MISTAKES` are wrong, each
with its `twin`, the same function with the right gradient, among `TWINS`; `NASTY` are right.
`evidence.py` shows that each mistake is one, `verify.py` that each right gradient is right.
"""

from __future__ import annotations

import importlib

from .pair import MISTAKES, NASTY, TWINS, Pair, Room, forget, normal, uniform

ROOMS = (
    "first",
    "small",
    "formulas",
    "large",
    "stiff",
    "many",
    "jumps",
    "kinks",
    "second",
    "state",
    "effects",
    "cotangents",
    "layouts",
    "contract",
    "tangents",
    "adjoints",
    "accumulation",
    "complexes",
    "domains",
    "constrained",
    "scale",
    "conditioning",
    "noise",
    "randomness",
    "deliberate",
    "structure",
    "not_finite",
)

for _room in ROOMS:
    importlib.import_module(f".{_room}", __name__)

__all__ = ["MISTAKES", "NASTY", "ROOMS", "TWINS", "Pair", "Room", "forget", "normal", "uniform"]
