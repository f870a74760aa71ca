"""A bug, and how the checker names it.

A wrong gradient raises no error: the shapes fit, and the loss may even fall. So measure: move each
element, compare the change with the gradient, and do it at random cotangents g. A good checker
judges by error bars, knows kinks, and looks at *how* the two differ. The exercises are graded by
it: python -m tinygrad_cv.learn exercises
"""

import numpy as np

from tinygrad_cv.testing import GradMismatch, check_vjp


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def right(g, y, x):
    return y * (g - (g * y).sum(axis=1, keepdims=True))


def wrong_axis(g, y, x):
    return y * (g - (g * y).sum(axis=0, keepdims=True))


def forgets_g(g, y, x):
    return y * (1 - y)


def twice_too_large(g, y, x):
    return 2 * right(g, y, x)


def writes_into_g(g, y, x):
    g -= (g * y).sum(axis=1, keepdims=True)
    return y * g


x = np.array([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5], [0.25, 0.75, 1.5]])
report = check_vjp(softmax, right, x)
print(f"right: {report.elements} derivatives agree\n")

messages = {}
for backward in [wrong_axis, forgets_g, twice_too_large, writes_into_g]:
    try:
        check_vjp(softmax, backward, x)
    except GradMismatch as mismatch:
        messages[backward.__name__] = str(mismatch)

print(f"wrong_axis\n{messages['wrong_axis']}\n\nThe others, in short:\n")
for name, message in list(messages.items())[1:]:
    first, *lines = message.splitlines()
    named = [line for line in lines if line.startswith(("  pattern", "  fix"))]
    print(f"{name}\n  {first}")
    print(*named, sep="\n")


def loss(x):
    return np.sum(softmax(x) ** 2)


look = loss, x
print(
    "\nQuestion: the checker draws g at random. Which of these bugs would g = np.ones((3, 3)) hide?"
)
