"""The first words of somebody who comes from PyTorch, JAX or autograd, and what to write here.

One table, theirs -> ours. An attribute or an option that is not here is looked up in it, so that
the error says what to write; README's section "Coming from PyTorch, JAX, autograd" shows it whole.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np


class Word(NamedTuple):
    """An expression of theirs, the same here, and why it is so.

    t is a tensor (2, 3), x an array like it, model a module, f a function, rng a generator.
    """

    theirs: str
    ours: str
    why: str = ""


SPEAKS = "NumPy's functions work on tensors"
SEED = "rng = np.random.default_rng(seed), so that the same seed draws the same numbers"
ONE_MACHINE = "there are no devices: all is NumPy on the CPU"
IMMUTABLE = "a tensor is not written to in place"
LAYER = "a layer draws its weights from a generator that you give"

TENSOR = [
    Word("t.exp()", "np.exp(t)", SPEAKS),
    Word("t.unsqueeze(0)", "t[None]"),
    Word("t.permute(1, 0)", "t.transpose(1, 0)"),
    Word("t.view(-1)", "t.reshape(-1)"),
    Word("t.t()", "t.T"),
    Word("t.contiguous()", "t", "an array's layout is not your concern"),
    Word("t.expand(2, 3)", "np.broadcast_to(t, (2, 3))"),
    Word("t.chunk(3, 1)", "np.split(t, 3, axis=1)"),
    Word("t.gather(1, i)", "np.take_along_axis(t, i, axis=1)"),
    Word("t.masked_fill(mask, 0.0)", "np.where(mask, 0.0, t)"),
    Word("t.mm(t.T)", "t @ t.T"),
    Word("t.pow(2)", "t**2"),
    Word("t.norm()", "np.linalg.norm(t)"),
    Word("t.logsumexp(-1)", "tg.special.logsumexp(t, axis=-1)"),
    Word("t.softmax(-1)", "kernels.softmax(t, axis=-1)", "functions of networks are kernels"),
    Word("t.log_softmax(-1)", "kernels.log_softmax(t, axis=-1)"),
    Word("t.relu()", "kernels.relu(t)"),
    Word("t.sigmoid()", "kernels.sigmoid(t)"),
    Word("t.dim()", "t.ndim"),
    Word("t.numel()", "t.size"),
    Word("t.size()", "t.shape", "t.size is NumPy's: the number of elements"),
    Word("t.clone()", "t.copy()"),
    Word("t.requires_grad_()", "Tensor(x, requires_grad=True)"),
    Word("t.add_(1)", "t + 1", IMMUTABLE),
    Word("t.float()", "t.astype(np.float32)"),
    Word("t.double()", "t.astype(np.float64)"),
    Word("t.to(torch.float64)", "t.astype(np.float64)", ONE_MACHINE),
    Word("t.cuda()", "t", ONE_MACHINE),
    Word("t.cpu()", "t", ONE_MACHINE),
    Word("t.at[0].set(1.0)", "np.where(mask, 1.0, t)", IMMUTABLE),
    Word("t.block_until_ready()", "t", "nothing is put off"),
]

OPTION = [
    Word("t.sum(dim=0)", "t.sum(axis=0)"),
    Word("t.sum(0, keepdim=True)", "t.sum(0, keepdims=True)"),
]

# Options of a class or of a kernel that it has not.
ARGUMENT = [
    Word("nn.ReLU(inplace=True)", "nn.ReLU()", IMMUTABLE),
    Word("Tensor(x, device='cpu')", "Tensor(x)", ONE_MACHINE),
    Word(
        "optim.SGD(model.parameters(), 0.1, foreach=True)",
        "optim.SGD(model.parameters(), 0.1)",
        "all are updated at once",
    ),
    Word("Tensor(x, dtype=np.float32)", "Tensor(np.float32(x))", "a tensor has its array's dtype"),
]

PACKAGE = [
    Word("torch.tensor(x)", "Tensor(x)", "Tensor(x, requires_grad=True) is a leaf to train"),
    Word("torch.from_numpy(x)", "Tensor(x)", "it copies the array"),
    Word("torch.is_tensor(t)", "isinstance(t, Tensor)"),
    Word("torch.exp(t)", "np.exp(t)", SPEAKS),
    Word("torch.zeros(2, 3)", "np.zeros((2, 3))"),
    Word("torch.ones(2, 3)", "np.ones((2, 3))"),
    Word("torch.cat([t, t])", "np.concatenate([t, t])"),
    Word("torch.softmax(t, -1)", "kernels.softmax(t, axis=-1)"),
    Word("torch.relu(t)", "kernels.relu(t)"),
    Word("torch.sigmoid(t)", "kernels.sigmoid(t)"),
    Word("torch.manual_seed(0)", "np.random.default_rng(0)", SEED),
    Word("torch.randn(2, 3)", "rng.standard_normal((2, 3))", SEED),
    Word("torch.rand(2, 3)", "rng.random((2, 3))", SEED),
    Word("torch.randint(0, 9, (2,))", "rng.integers(0, 9, 2)", SEED),
    Word("torch.randperm(9)", "rng.permutation(9)", SEED),
    Word("torch.device('cpu')", "None", ONE_MACHINE),
    Word("torch.compile(f)", "f", "a kernel is fast as it stands"),
    Word("torch.inference_mode()", "tg.no_grad()"),
    Word("torch.set_grad_enabled(False)", "tg.no_grad()"),
    Word(
        "torch.autograd.grad(f(x), x)", "tg.grad(f)(x)", "tg.derivative is for a rule of your own"
    ),
    Word("torch.utils.data", "tg.data"),
    Word("jax.numpy.exp(x)", "np.exp(x)", "NumPy itself is differentiated"),
    Word("jax.random.normal(key, (2, 3))", "rng.standard_normal((2, 3))", SEED),
    Word("jax.jit(f)(x)", "f(x)", "a kernel is fast as it stands"),
    Word("jax.vmap(f)(x)", "np.stack([f(row) for row in x])", "or write f for the whole batch"),
    Word("jax.jacrev(f)(x)", "tg.jacobian(f)(x)"),
    Word("jax.jacfwd(f)(x)", "tg.jacobian(f)(x)", "tg.jvp is a column of it"),
    Word("jax.lax.stop_gradient(t)", "t.detach()"),
    Word("autograd.elementwise_grad(f)(x)", "tg.grad(lambda x: np.sum(f(x)))(x)"),
    Word("autograd.make_vjp(f)(x)", "tg.vjp(f, x)"),
]

NN = [
    Word("nn.functional.relu(t)", "kernels.relu(t)", "functions of networks are kernels"),
    Word("nn.relu(t)", "kernels.relu(t)"),
    Word("nn.softmax(t)", "kernels.softmax(t)"),
    Word("nn.Parameter(x)", "nn.parameter(x)"),
    Word("nn.utils.clip_grad_norm_(p, 1.0)", "optim.clip_grad_norm_(p, 1.0)"),
    Word("nn.DataParallel(model)", "tg.parallel", "processes that share each batch"),
]

OPTIM = [
    Word(
        "optim.lr_scheduler.StepLR(o, 30)",
        "optim.step_decay(30, 0.1)",
        "a schedule is a function: optimizer.lr = rate * schedule(step)",
    ),
    Word("optim.LBFGS(p)", "optim.minimize(f, x)", "SciPy's, with a gradient of f"),
    Word("optim.swa_utils.AveragedModel(model)", "optim.ExponentialMovingAverage(model, 0.999)"),
]

MODULE = [
    Word("model.cuda()", "model", ONE_MACHINE),
    Word("model.cpu()", "model", ONE_MACHINE),
    Word("model.double()", "model.to(np.float64)"),
    Word("model.float()", "model.to(np.float32)"),
    Word("model.half()", "model.to(np.float16)"),
]

# Not missing, but different: these raise no error of ours, or none at all.
OTHERS = [
    Word("nn.Linear(3, 4)", "nn.Linear(3, 4, rng=rng)", LAYER),
    Word("np.mean(t, dim=0)", "np.mean(t, axis=0)", "NumPy itself refuses it"),
    Word("t.transpose(0, 1)", "t.swapaxes(0, 1)", "t.transpose is NumPy's: the order of all axes"),
    Word("t.repeat(2, 1)", "np.tile(t, (2, 1))", "t.repeat is NumPy's: each element again"),
    Word("t.std()", "t.std(ddof=1)", "NumPy divides by n"),
    Word("t.max(1).values", "t.max(axis=1)", "t.argmax(axis=1) is the other half"),
]

WORDS = {
    "Tensor": TENSOR,
    "option": OPTION,
    "argument": ARGUMENT,
    "tinygrad_cv": PACKAGE,
    "tinygrad_cv.nn": NN,
    "tinygrad_cv.optim": OPTIM,
    "module": MODULE,
}


def name_in(theirs: str) -> str:
    """The name that is missing here: that of an option, or what stands behind the first dot."""
    names = re.findall(r"(\w+)=", theirs) or re.findall(r"\.(\w+)", theirs)
    return str(names[0])


def by_name(words: list[Word]) -> dict[str, Word]:
    """The words by the name that is missing; the first of one name counts."""
    return {name_in(word.theirs): word for word in reversed(words)}


NAMED = {room: by_name(words) for room, words in WORDS.items()}
THEIR_NAMES = frozenset([*NAMED["option"], *NAMED["argument"]])  # of arguments


def hint(room: str, name: str) -> str:
    """What to write in place of a name that a room has not, to end a sentence with; "" if unknown.

    room: a key of WORDS.
    """
    word = NAMED[room].get(name)
    if word is not None:
        because = f" ({word.why})" if word.why else ""
        return f": for {word.theirs} write {word.ours}{because}"
    if room not in ("Tensor", "tinygrad_cv") or name.startswith("_"):
        return ""
    function = getattr(np, name, None)
    if function is None:
        in_place = room == "Tensor" and name.endswith("_")
        return f": {IMMUTABLE}; write t = ..." if in_place else ""
    if isinstance(function, type) or not callable(function):
        return f": write np.{name}"
    return f": for {name}(t) write np.{name}(t) ({SPEAKS})"
