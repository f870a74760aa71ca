"""Attention, 4 x 3.

Four words, three features each. The query of a word is compared with the keys of all words: Q (4x3)
times K.T (3x4) is a score for each pair (4x4). Scaled by the root of 3 and through softmax, each
row is the attention that one word pays to all. Times V (4x3), it is a mixture of values (4x3). The
way back is made of what you have seen: three products, one softmax, one constant.
"""

import numpy as np

import tinygrad_cv as tg

rng = np.random.default_rng(0)
q, k, v = rng.normal(size=(3, 4, 3))
g = rng.normal(size=(4, 3))  # the gradient that arrives at the output


def softmax(scores):
    e = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def attention(q, k, v):
    scores = q @ k.T / np.sqrt(3)
    weights = softmax(scores)
    return weights @ v


# forward
score = q @ k.T  # (4, 3) @ (3, 4)
scaled = score / np.sqrt(3)  # (4, 4)
weights = softmax(scaled)  # (4, 4), each row sums to 1
output = weights @ v  # (4, 4) @ (4, 3)

# backward
g_weights = g @ v.T  # (4, 4)
g_v = weights.T @ g  # (4, 3)
inner = np.sum(g_weights * weights, axis=1, keepdims=True)  # (4, 1)
g_scaled = weights * (g_weights - inner)  # (4, 4)
g_score = g_scaled / np.sqrt(3)
g_q = g_score @ k  # (4, 3)
g_k = g_score.T @ q  # (4, 3)

print(f"Q {q.shape}  K.T {k.T.shape}  score {score.shape}  weights {weights.shape}  V {v.shape}")
print(f"attention weights (a row for each query)\n{weights.round(3)}")
print(f"output {output.shape}\n{output.round(3)}")
print(f"gradient of the scaled scores\n{g_scaled.round(3)}")


def loss(q, k, v):
    return np.sum(g * attention(q, k, v))


engine = tg.grad(loss, argnums=(0, 1, 2))(q, k, v)
for name, by_hand, gradient in zip("QKV", [g_q, g_k, g_v], engine, strict=True):
    print(f"gradient of {name} as the engine's: {np.allclose(by_hand, gradient, rtol=1e-12)}")

look = loss, q, k, v
print("\nQuestion: each row of the gradient of the scores sums to 0. Why must it?")
