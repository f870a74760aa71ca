"""What a call must leave alone: arrays to the last bit, shapes and strides, dicts and lists."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..typing import PyTree, Shape

LARGE = 2**17  # bytes: a copy of more is dear


class Change(NamedTuple):
    """What a call did to one of the trees."""

    tree: int  # its position among them
    leaf: int  # the position among its leaves
    what: str  # "in place, at [0] from 1 to 2"


class Memory(NamedTuple):
    """An array as it was. Comparing bytes is exact for every dtype, NaN and -0.0."""

    tree: int
    leaf: int
    array: np.ndarray
    content: bytes
    shape: Shape
    strides: Shape
    dtype: np.dtype[np.generic]

    def change(self) -> str:
        """How the array is another one now, "" if it is not; what changed is restored."""
        array = self.array
        if array.shape == self.shape and array.strides == self.strides:
            return "" if self._is_same() else self._restored()
        found = f": its shape was {self.shape}, its strides {self.strides}; now it has shape "
        found += f"{array.shape}, strides {array.strides}"
        if array.size == np.prod(self.shape, dtype=int):
            array.shape = self.shape
        return found

    def _is_same(self) -> bool:
        if self.array.nbytes < LARGE or not self.array.flags.c_contiguous:
            return self.array.tobytes() == self.content
        now = self.array.reshape(-1).view(np.uint64 if self.array.nbytes % 8 == 0 else np.uint8)
        return np.array_equal(now, np.frombuffer(self.content, now.dtype))  # without a copy

    def _restored(self) -> str:
        old = np.frombuffer(self.content, self.dtype).reshape(self.shape)
        differs = ~((self.array == old) | ((self.array != self.array) & (old != old)))
        place = tuple(np.argwhere(differs)[0].tolist()) if differs.any() else ()
        new = self.array[place].copy()
        if self.array.flags.writeable:
            self.array[...] = old
        if not differs.any():
            return " in place, by the sign of a zero or the bits of a NaN"
        was, now = _two(old[place], new)
        return f" in place, at {list(place)} from {was} to {now}"


def _two(old: np.generic, new: np.generic) -> tuple[str, str]:
    """Both numbers, with all digits if they need them to differ."""
    if old.dtype.kind not in "fc":
        return str(old), str(new)
    short = f"{old:.6g}", f"{new:.6g}"
    return short if short[0] != short[1] else (f"{old:.17g}", f"{new:.17g}")


class Witness:
    """Some trees before a call, to compare with them afterwards.

    Tensors are left out, whose own values the engine guards, and objects of unknown kinds.
    """

    def __init__(self, *trees: PyTree) -> None:
        self.memories: list[Memory] = []
        self.containers: list[tuple[int, int, PyTree, list[PyTree]]] = []
        for number, tree in enumerate(trees):
            self._keep(number, 0, tree)

    def _keep(self, number: int, leaf: int, tree: PyTree) -> int:
        """Remember a tree that begins with a leaf of this position; the position after it."""
        if isinstance(tree, np.ndarray):
            if tree.dtype != object:
                content = tree.tobytes()
                memory = Memory(number, leaf, tree, content, tree.shape, tree.strides, tree.dtype)
                self.memories.append(memory)
        elif isinstance(tree, (list, tuple, dict)):
            self.containers.append((number, leaf, tree, _children(tree)))
            for child in tree.values() if isinstance(tree, dict) else tree:
                leaf = self._keep(number, leaf, child)
            return leaf
        return leaf + (tree is not None)

    def change(self) -> Change | None:
        """The first change, None if there is none. Arrays are restored."""
        found = None
        for number, leaf, tree, children in self.containers:
            now = _children(tree)
            same = len(now) == len(children) and all(map(_is_same, now, children))
            if not same and found is None:
                what = f": {len(children)} items were in its {type(tree).__name__}"
                found = Change(number, leaf, f"{what}, and now there are {len(now)}, or others")
        for memory in self.memories:
            what = memory.change()
            if what and found is None:
                found = Change(memory.tree, memory.leaf, what)
        return found


def _children(tree: PyTree) -> list[PyTree]:
    """The items of a list, the keys and values of a dict."""
    return [*tree.keys(), *tree.values()] if isinstance(tree, dict) else list(tree)


def _is_same(one: PyTree, other: PyTree) -> bool:
    """Whether an item is still the same object, or an equal key."""
    return one is other or (isinstance(one, (str, int, float)) and one == other)
