"""Rows of `tinygrad_cv/rules/elementwise.py`."""

from __future__ import annotations

import numpy as np

from tests.table import arrays, broadcastable, row

row(np.multiply, broadcastable())
row(np.true_divide, broadcastable(avoid=[0]))
row(np.exp, arrays())
