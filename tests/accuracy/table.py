"""All cases."""

from tests.accuracy import elementwise, kernels

CASES = [*elementwise.CASES, *kernels.CASES]
