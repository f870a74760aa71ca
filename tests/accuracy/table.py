"""All cases, and the limits: where a function is less accurate, and why."""

from __future__ import annotations

from tests.accuracy import bessel, elementwise, kernels, others, special
from tests.accuracy.measure import ALLOWED, Case

CASES: list[Case] = [
    *elementwise.CASES,
    *kernels.CASES,
    *special.CASES,
    *bessel.CASES,
    *others.CASES,
]
LIMITS = {case.name: (case.limit, case.because) for case in CASES if case.limit > ALLOWED}
# Where the table draws from a part of the dtype's range only, or not at all.
NARROWED = {
    "special.polygamma": "up to 1e40: beyond, SciPy's own product has a subnormal factor",
    "special.sindg, cosdg, tandg, cotdg": "up to 1e13: SciPy's are 0 beyond 1e14",
    "special.beta, betainc, gammainc": "shapes from 1e-3 to 100",
    "special.binom, poch": "arguments from 0 to 40",
    "special.logsumexp, b": "weights from 1e-4 to 1e4: in log b their own digits are lost",
    "Bessel functions and their kin": "orders up to 7, arguments up to 300 or 1e3",
    "orthogonal polynomials": "degrees up to 5, where they oscillate",
    "inverse distribution functions": "not in the table: one over a density in it",
    "non-central distributions, Mathieu, spheroidal, Carlson's R_J": "not in the table: no peer",
}
