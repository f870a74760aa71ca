"""The calculus table of orthogonal polynomials in x: the derivative is one of the next kind and of one degree less
(DLMF 18.9). Degree and parameters are constants."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special as sp

from ...tensor import Rule
from ..table import derivative


def _less(n: Any) -> Any:
    """The degree of the derivative: n - 1, and for a constant 0, where the factor is 0. n need not be whole."""
    return np.subtract(n, np.not_equal(n, 0))


def _some(n: Any) -> Any:
    """1, and 0 for a constant."""
    return np.not_equal(n, 0) * 1.0


def _chebyshev_second(n: Any, x: Any) -> Any:
    """U_n' = 2 C_(n-1)^(2)."""
    return 2 * _some(n) * sp.eval_gegenbauer(_less(n), 2.0, x)


def _legendre(n: Any, x: Any) -> Any:
    """P_n' = (n + 1) / 2 P_(n-1)^(1, 1)."""
    return _some(n) * (np.add(n, 1) / 2) * sp.eval_jacobi(_less(n), 1.0, 1.0, x)


def _jacobi(n: Any, a: Any, b: Any, x: Any) -> Any:
    return _some(n) * ((n + a + b + 1) / 2) * sp.eval_jacobi(_less(n), a + 1, b + 1, x)


derivative(sp.eval_legendre, x2=lambda g, x1, x2: g * _legendre(x1, x2))
derivative(sp.eval_sh_legendre, x2=lambda g, x1, x2: g * 2 * _legendre(x1, 2 * x2 - 1))
derivative(sp.eval_chebyt, x2=lambda g, x1, x2: g * x1 * sp.eval_chebyu(_less(x1), x2))
derivative(sp.eval_chebyu, x2=lambda g, x1, x2: g * _chebyshev_second(x1, x2))
derivative(sp.eval_chebyc, x2=lambda g, x1, x2: g * x1 * sp.eval_chebyu(_less(x1), x2 / 2))
derivative(sp.eval_chebys, x2=lambda g, x1, x2: g * _chebyshev_second(x1, x2 / 2) / 2)
derivative(
    sp.eval_sh_chebyt, x2=lambda g, x1, x2: g * 2 * x1 * sp.eval_chebyu(_less(x1), 2 * x2 - 1)
)
derivative(sp.eval_sh_chebyu, x2=lambda g, x1, x2: g * 2 * _chebyshev_second(x1, 2 * x2 - 1))
derivative(
    sp.eval_gegenbauer,
    x3=lambda g, x1, x2, x3: g * 2 * x2 * _some(x1) * sp.eval_gegenbauer(_less(x1), x2 + 1, x3),
)
derivative(sp.eval_jacobi, x4=lambda g, x1, x2, x3, x4: g * _jacobi(x1, x2, x3, x4))
derivative(  # P_n^(p-q, q-1)(2 x - 1) / binom(2 n + p - 1, n)
    sp.eval_sh_jacobi,
    x4=lambda g, x1, x2, x3, x4: (
        g * 2 * _jacobi(x1, x2 - x3, x3 - 1, 2 * x4 - 1) / sp.binom(2 * x1 + x2 - 1, x1)
    ),
)
derivative(
    sp.eval_laguerre, x2=lambda g, x1, x2: -g * _some(x1) * sp.eval_genlaguerre(_less(x1), 1.0, x2)
)
derivative(
    sp.eval_genlaguerre,
    x3=lambda g, x1, x2, x3: -g * _some(x1) * sp.eval_genlaguerre(_less(x1), x2 + 1, x3),
)
derivative(sp.eval_hermite, x2=lambda g, x1, x2: g * 2 * x1 * sp.eval_hermite(_less(x1), x2))
derivative(sp.eval_hermitenorm, x2=lambda g, x1, x2: g * x1 * sp.eval_hermitenorm(_less(x1), x2))

# Associated Legendre functions of order m and degree v (DLMF 14.10.4).
derivative(
    sp.lpmv,
    x3=lambda g, x1, x2, x3, y: (
        g * ((x2 + 1) * x3 * y - (x2 - x1 + 1) * sp.lpmv(x1, x2 + 1, x3)) / (1 - x3 * x3)
    ),
)


# SciPy's newer functions give the value and derivatives up to the second themselves, in rows: the slope of rows 0 to k is
# rows 1 to k + 1.
def _rows_below(rule: Rule, y_shape: Any, *args: Any, diff_n: Any, **options: Any) -> Any:
    """Rows 1 to diff_n + 1."""
    options = {name: value for name, value in options.items() if value is not None} | {
        "diff_n": (diff_n or 0) + 1
    }
    rows = rule(*args, **options)
    return np.reshape(rows[1:], y_shape)


def _legendre_rows(ending: str) -> None:
    legendre = derivative(
        getattr(sp, "legendre_p" + ending),
        signature="n, z, *, diff_n=0",
        z=lambda g, y_shape, n, z, diff_n: g * _rows_below(legendre, y_shape, n, z, diff_n=diff_n),
    )
    associated = derivative(
        getattr(sp, "assoc_legendre_p" + ending),
        signature="n, m, z, *, branch_cut=2, norm=False, diff_n=0",
        z=lambda g, y_shape, n, m, z, branch_cut, norm, diff_n: (
            g
            * _rows_below(
                associated, y_shape, n, m, z, branch_cut=branch_cut, norm=norm, diff_n=diff_n
            )
        ),
    )
    spherical = derivative(
        getattr(sp, "sph_legendre_p" + ending),
        signature="n, m, theta, *, diff_n=0",
        theta=lambda g, y_shape, n, m, theta, diff_n: (
            g * _rows_below(spherical, y_shape, n, m, theta, diff_n=diff_n)
        ),
    )


if hasattr(sp, "legendre_p"):
    _legendre_rows("")
    _legendre_rows("_all")
