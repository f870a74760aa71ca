"""Pytrees: nested dicts, lists and tuples. What stands in them is a leaf; None is no leaf."""

from __future__ import annotations

import copy
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


def leaves_like(tree: PyTree, like: PyTree, what: str) -> list[Any]:
    """The leaves of a tree in the order of another; dicts are matched by their keys.

    Raises ValueError, with `what` in it, if the nesting is another.
    """
    expected, given = _children(like), _children(tree)
    if expected is None and not isinstance(tree, dict) and tree is not None:
        return [tree]
    if expected is None or given is None or given.keys() != expected.keys():
        raise ValueError(
            f"{what}s must have the nesting of what they belong to: "
            f"{_outline(tree)} was given for {_outline(like)}"
        )
    found = []
    for name, child in expected.items():
        found += leaves_like(given[name], child, what)
    return found


def _children(tree: PyTree) -> dict[Any, PyTree] | None:
    """What stands one level below, by key or position; None for a leaf."""
    if isinstance(tree, dict):
        return tree
    if isinstance(tree, (list, tuple)):
        return dict(enumerate(tree))
    return {} if tree is None else None


def _outline(tree: PyTree) -> str:
    """A tree's outermost level in words."""
    if isinstance(tree, dict):
        return f"a dict with the keys {[*tree]}"
    if isinstance(tree, (list, tuple)):
        return f"a {type(tree).__name__} of {len(tree)}"
    return "None" if tree is None else "an array"


def rebuild(tree: PyTree, new: Iterable[Any]) -> PyTree:
    """The same nesting with other leaves."""
    return _rebuild(tree, iter(new))


def _rebuild(tree: PyTree, new: Iterator[Any]) -> PyTree:
    if isinstance(tree, dict):
        same_kind = copy.copy(tree)
        same_kind.update({name: _rebuild(value, new) for name, value in tree.items()})
        return same_kind
    if isinstance(tree, (list, tuple)):
        values = [_rebuild(value, new) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return None if tree is None else next(new)


def map_leaves(function: Callable[..., Any], *trees: PyTree) -> PyTree:
    """`function` applied leaf by leaf to trees of one nesting."""
    groups = zip(*map(leaves, trees), strict=True)
    return rebuild(trees[0], [function(*group) for group in groups])
