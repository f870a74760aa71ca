"""What remains of NumPy's main namespace and of numpy.fft: without a derivative by nature, or not supported."""

from __future__ import annotations

import numpy as np

from .table import unsupported

unsupported("complex numbers", *{f for n, f in vars(np.fft).items() if callable(f) and n[0] != "_" and n not in (
    "fftfreq", "rfftfreq", "fftshift", "ifftshift", "test")})  # fmt: skip
