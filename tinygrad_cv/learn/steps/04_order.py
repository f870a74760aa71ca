"""Why the order matters: b = a + a; c = b + b.

c is 4 a, so dc/da is 4: there are four paths from c to a, each of slope 1. Whoever passes on what
has arrived so far, whenever something arrives, counts some of it twice. Whoever follows each path
alone is right, but paths double with every line. The way out is an order: a number passes its
gradient on once, when all that used it have passed on theirs. The youngest first does it.
"""

import tinygrad_cv as tg

inputs = {"c": ["b", "b"], "b": ["a", "a"], "a": []}  # all slopes are 1


def impatient(name, gradients):
    """Pass on all that has arrived so far."""
    for parent in inputs[name]:
        gradients[parent] += gradients[name]
        impatient(parent, gradients)


def path_by_path(name, gradients):
    """Follow each path alone; the number of visits."""
    gradients[name] += 1
    return 1 + sum(path_by_path(parent, gradients) for parent in inputs[name])


def youngest_first(gradients):
    """Each number once, the youngest first; the number of visits."""
    for name in ["c", "b", "a"]:
        for parent in inputs[name]:
            gradients[parent] += gradients[name]
    return len(inputs)


wrong = {"a": 0, "b": 0, "c": 1}
impatient("c", wrong)
print(f"impatient        dc/da = {wrong['a']}  (wrong)")

paths = {"a": 0, "b": 0, "c": 0}
visits_of_paths = path_by_path("c", paths)
print(f"path by path     dc/da = {paths['a']}  in {visits_of_paths} visits")

right = {"a": 0, "b": 0, "c": 1}
visits = youngest_first(right)
print(f"youngest first   dc/da = {right['a']}  in {visits} visits")
print(f"after 30 doublings: {2**31 - 1} visits path by path, 31 youngest first")


def doubled(a):
    b = a + a
    c = b + b
    return c


engine = float(tg.grad(doubled)(1.0))
print(f"the engine       dc/da = {engine:.0f}")

look = doubled, 1.0
print("\nQuestion: in which order do gradients arrive at a, if the impatient one finds 6?")
