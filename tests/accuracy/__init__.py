"""How accurate gradients are at every scale of the dtype: `python -m tests.accuracy` prints it.

`measure` says what is compared, and the other modules hold the table, function by function.
"""
