"""The ladder: fifteen steps from a slope to a gradient checker, and twenty gradients to write.

`python -m tinygrad_cv.learn` lists the steps (files in `steps`), runs them, and grades the
exercises (in `exercises`). Nothing else in the package knows this room.
"""
