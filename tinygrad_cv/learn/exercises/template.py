"""Twenty gradients to write yourself, from tanh to the LSTM.

For each function there is a backward to fill in: it gets g (the gradient of a loss with respect to
the value y, and of y's shape), y, and the function's arguments. It returns the gradient with
respect to each argument that its comment names, in that order, each of its argument's shape. Write
plain NumPy, and don't write into what you are given.

    python -m tinygrad_cv.learn check my_file.py              # all that you have written
    python -m tinygrad_cv.learn check my_file.py tanh bias    # these

The forward functions are here for you to read and to try; the grader has its own.
"""

import numpy as np

# ------------------------------------------------------------------- 1. functions of one number


def tanh(x):
    return np.tanh(x)


def tanh_backward(g, y, x):
    """The gradient of x."""
    raise NotImplementedError("g times the slope of tanh, which needs only y")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_backward(g, y, x):
    """The gradient of x."""
    raise NotImplementedError("the slope of a sigmoid is largest at y = 1/2; it needs only y")


def relu(x):
    return np.maximum(x, 0)


def relu_backward(g, y, x):
    """The gradient of x."""
    raise NotImplementedError("the slope is 1 or 0; at x = 0 choose 0")


def gelu(x):
    """As GPT-2 computes it (Hendrycks and Gimpel 2016)."""
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_backward(g, y, x):
    """The gradient of x."""
    raise NotImplementedError("a product, whose second factor is a chain of two functions")


# ------------------------------------------------------------------- 2. sums and broadcasting


def bias(x, b):
    """x (rows, n) and b (n,), which is added to each row."""
    return x + b


def bias_backward(g, y, x, b):
    """The gradients of x and b."""
    raise NotImplementedError("each b[j] was used in every row: its contributions add up")


def mean(x):
    """x (rows, n); the mean of each row, (rows,)."""
    return np.mean(x, axis=1)


def mean_backward(g, y, x):
    """The gradient of x."""
    raise NotImplementedError("g is (rows,), the result is (rows, n): all of a row share its g")


def variance(x):
    """x (rows, n); the variance of each row, (rows,)."""
    return np.mean((x - np.mean(x, axis=1, keepdims=True)) ** 2, axis=1)


def variance_backward(g, y, x):
    """The gradient of x."""
    raise NotImplementedError("x reaches y directly and through the mean; how much is the latter?")


def norm(x):
    """x (rows, n); the length of each row, (rows,)."""
    return np.sqrt(np.sum(x**2, axis=1))


def norm_backward(g, y, x):
    """The gradient of x."""
    raise NotImplementedError("a row points away from the origin; at the origin choose 0")


def row_max(x):
    """x (rows, n); the largest of each row, (rows,)."""
    return np.max(x, axis=1)


def row_max_backward(g, y, x):
    """The gradient of x."""
    raise NotImplementedError("only the largest matters; if several are, they share g equally")


# ------------------------------------------------------------------- 3. products and probabilities


def matmul(x, w):
    """x (rows, n) and w (n, m)."""
    return x @ w


def matmul_backward(g, y, x, w):
    """The gradients of x and w."""
    raise NotImplementedError("ask the shapes: g is (rows, m)")


def logsumexp(x):
    """x (rows, n); log(sum(exp(x))) of each row, (rows,), without overflow."""
    top = np.max(x, axis=1)
    return np.log(np.sum(np.exp(x - top[:, None]), axis=1)) + top


def logsumexp_backward(g, y, x):
    """The gradient of x."""
    raise NotImplementedError("exp(x) over its sum, for x up to 1000: which number does y save?")


def softmax(x):
    """x (rows, n); exp(x) over its sum, row by row."""
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def softmax_backward(g, y, x):
    """The gradient of x."""
    raise NotImplementedError("each x reaches all y of its row; what y shares, g must share")


def cross_entropy(z, labels):
    """z (rows, classes), labels (rows,) are integers; the mean of -log softmax(z)[label]."""
    return np.mean(logsumexp(z) - z[np.arange(len(z)), labels])


def cross_entropy_backward(g, y, z, labels):
    """The gradient of z."""
    raise NotImplementedError("probabilities minus the truth; and y is a mean")


def bce_with_logits(z, t):
    """Binary cross-entropy of logits z and targets t, of one shape; the mean, one number."""
    return np.mean(np.logaddexp(0, z) - z * t)


def bce_with_logits_backward(g, y, z, t):
    """The gradients of z and t."""
    raise NotImplementedError("the slope of log(1 + exp(z)) is a sigmoid")


# ------------------------------------------------------------------- 4. parts of networks


def embedding(table, tokens):
    """table (words, n), tokens (any shape) are integers; the rows of the tokens."""
    return table[tokens]


def embedding_backward(g, y, table, tokens):
    """The gradient of table."""
    raise NotImplementedError("a word that comes twice has two contributions (see np.add.at)")


def layer_norm(x, weight, bias):
    """x (rows, n), weight and bias (n,)."""
    centred = x - np.mean(x, axis=1, keepdims=True)
    deviation = np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + 1e-5)
    return centred / deviation * weight + bias


def layer_norm_backward(g, y, x, weight, bias):
    """The gradients of x, weight and bias."""
    raise NotImplementedError("begin with bias and weight; x reaches y in three ways")


def attention(q, k, v):
    """q (n, d), k (m, d), v (m, e); the scaled dot-product attention, (n, e)."""
    return softmax(q @ k.T / np.sqrt(q.shape[1])) @ v


def attention_backward(g, y, q, k, v):
    """The gradients of q, k and v."""
    raise NotImplementedError("three products, one softmax, one constant: go back one by one")


def lstm_cell(x, h, c, w, b):
    """x (rows, n), state h and c (rows, m), w (n + m, 4 m), b (4 m,); the new h and c."""
    gates = np.concatenate([x, h], axis=1) @ w + b
    i, f, z, o = np.split(gates, 4, axis=1)  # input gate, forget gate, new content, output gate
    new_c = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
    new_h = sigmoid(o) * np.tanh(new_c)
    return new_h, new_c


def lstm_cell_backward(g, y, x, h, c, w, b):
    """The gradients of x, h, c, w and b. Here g and y are pairs, for the new h and the new c."""
    raise NotImplementedError("the new c has two gradients: its own, and one through the new h")


def conv(x, w):
    """One image x (height, width), one filter w (a, b): w laid over each place where it fits."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape)
    return np.einsum("ijab,ab->ij", windows, w)


def conv_backward(g, y, x, w):
    """The gradients of x and w."""
    raise NotImplementedError("y[i, j] sums x[i + a, j + b] w[a, b]: go over a and b")


def kl_divergence(mu, log_var):
    """Of a VAE's N(mu, exp(log_var)) from N(0, 1): summed over axis 1, the mean over the rows."""
    return np.mean(np.sum(mu**2 + np.exp(log_var) - log_var - 1, axis=1)) / 2


def kl_divergence_backward(g, y, mu, log_var):
    """The gradients of mu and log_var."""
    raise NotImplementedError("element by element; then mind the mean and the half")
