"""The calculus table of Bessel functions and their kin, in their argument. Source: DLMF, chapters 9 to 12."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special as sp

from ..tensor import derivative
from .table import definition, through

# Bessel functions in their argument (DLMF 10.6, 10.29); e: scaled.
derivative(sp.j0, x=lambda g, x: -g * sp.j1(x))
derivative(sp.j1, x=lambda g, x: g * (sp.j0(x) - sp.jv(2.0, x)) / 2)
derivative(sp.y0, x=lambda g, x: -g * sp.y1(x))
derivative(sp.y1, x=lambda g, x, y: g * (sp.y0(x) - y / x))
derivative(sp.i0, x=lambda g, x: g * sp.i1(x))
derivative(sp.i1, x=lambda g, x: g * (sp.i0(x) + sp.iv(2.0, x)) / 2)
derivative(sp.k0, x=lambda g, x: -g * sp.k1(x))
derivative(sp.k1, x=lambda g, x, y: -g * (sp.k0(x) + y / x))
derivative(sp.i0e, x=lambda g, x, y: g * (sp.i1e(x) - np.sign(x) * y))
derivative(sp.i1e, x=lambda g, x, y: g * ((sp.i0e(x) + sp.ive(2.0, x)) / 2 - np.sign(x) * y))
derivative(sp.k0e, x=lambda g, x, y: g * (y - sp.k1e(x)))
derivative(sp.k1e, x=lambda g, x, y: g * (y - sp.k0e(x) - y / x))
derivative(sp.jv, x2=lambda g, x1, x2: g * (sp.jv(x1 - 1, x2) - sp.jv(x1 + 1, x2)) / 2)
derivative(sp.yv, x2=lambda g, x1, x2: g * (sp.yv(x1 - 1, x2) - sp.yv(x1 + 1, x2)) / 2)
if sp.jn is not sp.jv:
    definition(sp.jn)(lambda n, x: sp.jv(n, x))
derivative(sp.iv, x2=lambda g, x1, x2: g * (sp.iv(x1 - 1, x2) + sp.iv(x1 + 1, x2)) / 2)
derivative(sp.kv, x2=lambda g, x1, x2: -g * (sp.kv(x1 - 1, x2) + sp.kv(x1 + 1, x2)) / 2)
derivative(sp.ive, x2=lambda g, x1, x2, y: g * ((sp.ive(x1 - 1, x2) + sp.ive(x1 + 1, x2)) / 2 - np.sign(x2) * y))
derivative(sp.kve, x2=lambda g, x1, x2, y: g * (y - (sp.kve(x1 - 1, x2) + sp.kve(x1 + 1, x2)) / 2))
for _integer, _real in ((sp.yn, sp.yv), (sp.kn, sp.kv)):
    definition(_integer)(lambda n, x, f=_real: f(np.asarray(n, x.dtype), x))
derivative(sp.jve, x2=lambda g, x1, x2: g * (sp.jve(x1 - 1, x2) - sp.jve(x1 + 1, x2)) / 2)
derivative(sp.yve, x2=lambda g, x1, x2: g * (sp.yve(x1 - 1, x2) - sp.yve(x1 + 1, x2)) / 2)


# Derivatives of order n have that of order n + 1.
def _next_order(function: Any) -> None:
    derivative(function, z=lambda g, v, z, n: g * function(v, z, (1 if n is None else n) + 1))


for _prime in (sp.jvp, sp.yvp, sp.ivp, sp.kvp):
    _next_order(_prime)


def _spherical(function: Any, sign: float) -> None:
    """z^2 f'' + 2 z f' = (n (n + 1) + sign z^2) f: -1 for j and y, 1 for i and k (DLMF 10.47)."""

    def slope(g: Any, n: Any, z: Any, derivative: Any) -> Any:
        if not derivative:
            return g * through(rule, n, z, True)
        return g * ((sign + n * (n + 1) / (z * z)) * through(rule, n, z) - 2 / z * through(rule, n, z, True))

    rule = derivative(function, z=slope)


for _function, _sign in ((sp.spherical_jn, -1.0), (sp.spherical_yn, -1.0), (sp.spherical_in, 1.0), (sp.spherical_kn, 1.0)):
    _spherical(_function, _sign)

# Airy functions: Ai, Ai', Bi, Bi', where f'' = x f (DLMF 9.2).
derivative(sp.airy, x=lambda g, x, y: g[0] * y[1] + g[1] * x * y[0] + g[2] * y[3] + g[3] * x * y[2])

# Kelvin functions; ber and bei, ker and kei are coupled (DLMF 10.63).
derivative(sp.ber, x=lambda g, x: g * sp.berp(x))
derivative(sp.bei, x=lambda g, x: g * sp.beip(x))
derivative(sp.ker, x=lambda g, x: g * sp.kerp(x))
derivative(sp.kei, x=lambda g, x: g * sp.keip(x))
derivative(sp.berp, x=lambda g, x, y: -g * (sp.bei(x) + y / x))
derivative(sp.beip, x=lambda g, x, y: g * (sp.ber(x) - y / x))
derivative(sp.kerp, x=lambda g, x, y: -g * (sp.kei(x) + y / x))
derivative(sp.keip, x=lambda g, x, y: g * (sp.ker(x) - y / x))

# Struve functions (DLMF 11.4).
derivative(sp.struve, x2=lambda g, x1, x2, y: g * (sp.struve(x1 - 1, x2) - x1 / x2 * y))
derivative(sp.modstruve, x2=lambda g, x1, x2, y: g * (sp.modstruve(x1 - 1, x2) - x1 / x2 * y))

# Parabolic cylinder functions come with their slope: f'' = (x^2 / 4 + a) f, where a = -v - 1/2; W'' = (a - x^2 / 4) W
# (DLMF 12.2, 12.14).
for _pair in (sp.pbdv, sp.pbvv):
    derivative(_pair, x2=lambda g, x1, x2, y: g[0] * y[1] + g[1] * (x2 * x2 / 4 - x1 - 0.5) * y[0])
derivative(sp.pbwa, x2=lambda g, x1, x2, y: g[0] * y[1] + g[1] * (x1 - x2 * x2 / 4) * y[0])

# Integrals: their integrands.
derivative(sp.itj0y0, x=lambda g, x: g[0] * sp.j0(x) + g[1] * sp.y0(x))
derivative(sp.iti0k0, x=lambda g, x: g[0] * sp.i0(x) + g[1] * sp.k0(x))
derivative(sp.it2j0y0, x=lambda g, x: (g[0] * (1 - sp.j0(x)) - g[1] * sp.y0(x)) / x)
derivative(sp.it2i0k0, x=lambda g, x: (g[0] * (sp.i0(x) - 1) - g[1] * sp.k0(x)) / x)
derivative(sp.itstruve0, x=lambda g, x: g * sp.struve(0.0, x))
derivative(sp.it2struve0, x=lambda g, x: -g * sp.struve(0.0, x) / x)
derivative(sp.itmodstruve0, x=lambda g, x: g * sp.modstruve(0.0, x))
