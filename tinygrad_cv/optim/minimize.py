"""SciPy's minimisers, with the gradient of this engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.pytrees import leaves, rebuild
from ..transforms import value_and_grad
from ..typing import Function, PyTree


def minimize(
    f: Function, x: PyTree, method: str = "L-BFGS-B", *, limit: int | None = None, **options: Any
) -> PyTree:
    """Where a function of arrays is smallest, as `scipy.optimize.minimize` finds it.

        best = optim.minimize(lambda p: np.sum((a @ p["w"] - b) ** 2), {"w": np.zeros(3)})

    x: where to begin, an array or nested dicts, lists and tuples of arrays. The result has its
        nesting, shapes and dtypes.
    method: one of SciPy's that use a gradient: "L-BFGS-B" (Liu & Nocedal 1989), "BFGS", "CG", ...
    limit: iterations after which it ends where it is, or earlier if rounding lets it go no
        further. Where that is, the next call can begin.
    options: those of `scipy.optimize.minimize`, as `tol=1e-9`, `options={"maxiter": 100}`.

    SciPy computes in float64. Without a limit, raises RuntimeError with SciPy's words if it does
    not get there.
    """
    from scipy import optimize

    arrays = [np.asarray(leaf) for leaf in leaves(x)]
    ends = np.cumsum([array.size for array in arrays])

    def nested(flat: np.ndarray) -> PyTree:
        """The arguments of f, from all their elements end to end."""
        parts = np.split(flat, ends[:-1])
        shaped = [p.reshape(a.shape).astype(a.dtype) for p, a in zip(parts, arrays, strict=True)]
        return rebuild(x, shaped)

    value_and_gradient = value_and_grad(f)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_gradient(nested(flat))
        parts = [np.ravel(part) for part in leaves(gradient)]
        return float(value), np.concatenate(parts).astype(float)

    start = np.concatenate([np.ravel(array) for array in arrays]).astype(float)
    if limit is not None:
        options["options"] = {**options.get("options", {}), "maxiter": limit}
    found = optimize.minimize(objective, start, method=method, jac=True, **options)
    if not found.success and limit is None:
        raise RuntimeError(f"optim.minimize: {method} ended early: {found.message}")
    return nested(found.x)
