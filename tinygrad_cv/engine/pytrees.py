"""Pytrees: nested dicts, lists and tuples. What stands in them is a leaf; None is no leaf."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..typing import PyTree


def leaves(tree: PyTree) -> list[Any]:
    """The leaves of a tree, in order."""
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in leaves(value)]
    if isinstance(tree, (list, tuple)):
        return [leaf for value in tree for leaf in leaves(value)]
    return [] if tree is None else [tree]


def rebuild(tree: PyTree, new: Iterable[Any]) -> PyTree:
    """The same nesting with other leaves."""
    return _rebuild(tree, iter(new))


def _rebuild(tree: PyTree, new: Iterator[Any]) -> PyTree:
    if isinstance(tree, dict):
        return {name: _rebuild(value, new) for name, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        values = [_rebuild(value, new) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return None if tree is None else next(new)


def map_leaves(function: Callable[..., Any], *trees: PyTree) -> PyTree:
    """`function` applied leaf by leaf to trees of one nesting."""
    groups = zip(*map(leaves, trees), strict=True)
    return rebuild(trees[0], [function(*group) for group in groups])
