"""The calculus table of scipy.special, by room."""

from . import bessel, distributions, polynomials, special

__all__ = ["bessel", "distributions", "polynomials", "special"]
