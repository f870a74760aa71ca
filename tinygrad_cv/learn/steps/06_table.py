"""The calculus table, and its signature.

A derivative is one line of NumPy. It gets g, the gradient of the value, and whatever else it names:
an argument, or the value y. So the names of its parameters say what must be kept on the way
forward, and nothing else is kept. An engine is this table and a walk.
"""

import inspect

import numpy as np

import tinygrad_cv as tg

table = {
    np.add: {"x1": lambda g: g, "x2": lambda g: g},
    np.multiply: {"x1": lambda g, x2: g * x2, "x2": lambda g, x1: g * x1},
    np.exp: {"x": lambda g, y: g * y},
    np.log: {"x": lambda g, x: g / x},
}
kept = {}
for function, formulas in table.items():
    names = set()
    for formula in formulas.values():
        names |= set(inspect.signature(formula).parameters)
    kept[function.__name__] = sorted(names - {"g"})
    print(f"{function.__name__:8} keeps {', '.join(kept[function.__name__]) or 'nothing'}")


def gradient_of_log_exp(x):
    """d log(exp(x)) / dx from two rows of the table."""
    y = np.exp(x)
    g_y = table[np.log]["x"](1.0, x=y)
    return table[np.exp]["x"](g_y, y=y)


by_table = gradient_of_log_exp(0.7)
print(f"\nd log(exp(x)) / dx = {by_table}")

print("\nThe engine's table has the same rows:")
for function in [np.add, np.multiply, np.exp]:
    print(tg.rule(function))


def softsign(x):
    return x / (1 + np.abs(x))


softsign = tg.derivative(softsign, x=lambda g, x: g / (1 + np.abs(x)) ** 2)
own = float(tg.grad(softsign)(1.0))
print(f"\nA row of your own: {softsign}\nits slope at 1 is {own}")

look = lambda x: np.sum(softsign(np.exp(x))), np.array([-1.0, 0.0, 1.0])
print("\nQuestion: tanh'(x) is 1 - tanh(x) ** 2. Write its row. What is kept? Where does it lose")
print("digits, and why may an engine keep x instead?")
