"""Rows of `tinygrad_cv/rules/special.py`."""

from __future__ import annotations

from scipy import special as sp

from tests.table import arrays, row

for function in (sp.expit, sp.erf, sp.ndtr):
    row(function, arrays())
