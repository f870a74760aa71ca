"""Softmax and cross-entropy.

Softmax makes probabilities p of logits z, and cross-entropy is -log p of the true class. Together
they are log(sum(exp(z))) - z[true], and the gradient is as simple as a gradient can be: p minus the
one-hot vector of the truth. Taken one after the other they fail: a probability that has vanished
has no logarithm.
"""

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(z):
    """The mean over the rows of log(sum(exp(z))) - z[true]."""
    top = np.max(z, axis=1)
    log_sum = np.log(np.sum(np.exp(z - top[:, None]), axis=1)) + top
    return np.mean(log_sum - z[rows, labels])


z = np.array([[2.0, 1.0, -1.0], [0.5, 0.5, 0.5], [-1.0, 3.0, 0.0]])
rows = np.arange(3)
labels = np.array([0, 2, 1])
one_hot = np.eye(3)[labels]

p = softmax(z)
by_hand = (p - one_hot) / len(z)
engine = tg.grad(cross_entropy)(z)
fused = tg.grad(lambda z: kernels.cross_entropy(z, labels))(z)
print(f"probabilities\n{p.round(4)}")
print(f"(p - one-hot) / 3\n{by_hand.round(4)}")
print(f"each row of it sums to 0: {np.allclose(by_hand.sum(axis=1), 0)}")
same = np.allclose(engine, by_hand), np.allclose(fused, by_hand)
print(f"as the engine's: {same[0]}; as its kernel's: {same[1]}")

surprise = np.array([[1000.0, 0.0]])  # the truth is class 1
with np.errstate(divide="ignore"):
    one_after_the_other = -np.log(softmax(surprise)[0, 1])
together = float(kernels.cross_entropy(surprise, np.array([1])))
print(f"logits {surprise[0]}: one after the other {one_after_the_other}, together {together}")

look = cross_entropy, z
print("\nQuestion: no logit has a gradient above 1/3 here, and a very wrong one has nearly that.")
print("What would it be, if the loss were the squared error of p?")
