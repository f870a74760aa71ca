"""Twenty gradients to write oneself.

`template` is the file that a reader fills in, `table` the arguments at which each is tried, `grade`
the judge, and `solutions` one way to write them.
"""

from .grade import SECONDS, Verdict, grade
from .table import EXERCISES, Exercise

__all__ = ["EXERCISES", "SECONDS", "Exercise", "Verdict", "grade"]
