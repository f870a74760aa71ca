"""The calculus table of scipy.special, by room."""

from . import bessel, distributions, elliptic, polynomials, special, unsupported

__all__ = ["bessel", "distributions", "elliptic", "polynomials", "special", "unsupported"]
