"""All cases."""

from tests.accuracy import elementwise, kernels, special

CASES = [*elementwise.CASES, *kernels.CASES, *special.CASES]
