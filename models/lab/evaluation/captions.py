"""Captions of scenes of one or two digits: what they say, in words, and whether an image shows it.

    "a big 3"    "a 3 and a seven"    "a large three above a small 7"    "a 7 with a 3 on its left"

Whether an image shows what its caption says is judged as by GenEval (Ghosh et al. 2023, arXiv
2310.11513): a detector that no generator has seen finds the objects, and what it finds is compared
with the caption. One object, two objects and position are GenEval's tasks; here an image with more
digits than its caption has is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TypeVar

import numpy as np

from ...vision.boxes import Objects, xyxy_to_cxcywh

Choice = TypeVar("Choice")

KINDS = ("one object", "two objects", "position")
SHARES = (0.25, 0.25, 0.5)  # of the kinds among captions

NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
OPENINGS = ("", "", "there is", "an image of")
CONJUNCTIONS = ("and", "with")
SIZES = {"large": ("large", "big"), "small": ("small", "little")}
RELATIONS = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
ADDITIONS = {
    "left of": "on its left",
    "right of": "on its right",
    "above": "above it",
    "below": "below it",
}
RELATION_BETWEEN = (
    0.7  # share of captions whose relation stands between the digits, "a 3 above a 7"
)

# Two digits whose sum ends in one of these are a pair of this part; training has all others.
ENDINGS = {"validation": 3, "test": 7}

LARGE = 9.5  # pixels: a digit that is higher is large, another one small


@dataclass(frozen=True)
class Mention:
    """A digit as a caption mentions it; its size may be left open."""

    label: int
    size: str = ""  # or large, small


@dataclass(frozen=True)
class Caption:
    """What a caption says: one digit or two, and perhaps where the first is from the second."""

    digits: tuple[Mention, ...]
    relation: str = ""  # one of RELATIONS
    text: str = ""  # in words

    @property
    def kind(self) -> str:
        """One of KINDS."""
        if self.relation:
            return "position"
        return "one object" if len(self.digits) == 1 else "two objects"


# ------------------------------------------------------------------------------------- in words


def vocabulary() -> tuple[str, ...]:
    """All words of captions, in alphabetical order."""
    texts = [*"0123456789", *NUMERALS, *OPENINGS, "a", *CONJUNCTIONS, *ADDITIONS.values()]
    for wordings in (*SIZES.values(), *RELATIONS.values()):
        texts += wordings
    return tuple(sorted(set(" ".join(texts).split())))


def one_of(choices: Sequence[Choice], rng: np.random.Generator) -> Choice:
    """One of several, drawn at random."""
    place = int(len(choices) * rng.random())
    return choices[place]


def named(mention: Mention, rng: np.random.Generator) -> str:
    """A digit in words: "a large 3", "an eight"."""
    numerals = str(mention.label), NUMERALS[mention.label]
    digit = one_of(numerals, rng)
    if mention.size:
        size = one_of(SIZES[mention.size], rng)
        return f"a {size} {digit}"
    article = "an" if mention.label == 8 else "a"
    return f"{article} {digit}"


def in_words(caption: Caption, *, rng: np.random.Generator) -> Caption:
    """A caption with a text, one of many that say the same."""
    words = [one_of(OPENINGS, rng)]
    first, *others = [named(mention, rng) for mention in caption.digits]
    if not others:
        words.append(first)
    elif not caption.relation:
        words += [first, one_of(CONJUNCTIONS, rng), *others]
    elif rng.random() < RELATION_BETWEEN:
        relation = one_of(RELATIONS[caption.relation], rng)
        words += [first, relation, *others]
    else:
        words += [*others, "with", first, ADDITIONS[caption.relation]]
    text = " ".join(words).strip()
    return replace(caption, text=text)


def draw_caption(part: str, kind: str = "", *, rng: np.random.Generator) -> Caption:
    """A random caption of a kind, or of any, with pairs of digits of a part.

    The parts are "training", and "validation" and "test", whose pairs training does not have.
    """
    if not kind:
        kind = str(rng.choice(KINDS, p=SHARES))
    count = 1 if kind == "one object" else 2
    labels = rng.integers(10, size=count)
    while count == 2 and part_of(labels) != part:
        labels = rng.integers(10, size=count)
    mentions = []
    for label in labels.tolist():
        size = one_of(("", *SIZES), rng)
        mentions.append(Mention(label, size))
    relation = ""
    if kind == "position":
        relation = one_of(tuple(RELATIONS), rng)
    caption = Caption(tuple(mentions), relation)
    return in_words(caption, rng=rng)


def part_of(labels: np.ndarray) -> str:
    """The part that has a pair of digits."""
    ending = labels.sum() % 10
    for part, own in ENDINGS.items():
        if ending == own:
            return part
    return "training"


def altered(caption: Caption, *, rng: np.random.Generator) -> Caption:
    """A caption that differs in one thing: a digit, a size, or the relation."""
    place = int(rng.integers(len(caption.digits)))
    mention = caption.digits[place]
    changes = ["label"]
    if mention.size:
        changes.append("size")
    if caption.relation:
        changes += ["relation", "relation"]
    change = one_of(changes, rng)
    if change == "relation":
        relation = another(tuple(RELATIONS), caption.relation, rng)
        return in_words(replace(caption, relation=relation), rng=rng)
    if change == "size":
        size = another(tuple(SIZES), mention.size, rng)
        mention = replace(mention, size=size)
    else:
        label = another(range(10), mention.label, rng)
        mention = replace(mention, label=label)
    digits = list(caption.digits)
    digits[place] = mention
    return in_words(replace(caption, digits=tuple(digits)), rng=rng)


def another(choices: Sequence[Choice], than: Choice, rng: np.random.Generator) -> Choice:
    """One of several, but not this one."""
    others = [choice for choice in choices if choice != than]
    return one_of(others, rng)


# ------------------------------------------------------------------- whether an image shows it


def relation_between(first: np.ndarray, second: np.ndarray) -> str:
    """Where the first box xyxy is from the second: by the larger distance of their centres."""
    centre = xyxy_to_cxcywh(first)[:2]
    across, down = centre - xyxy_to_cxcywh(second)[:2]
    if abs(across) > abs(down):
        return "left of" if across < 0 else "right of"
    return "above" if down < 0 else "below"


def size_of(box: np.ndarray) -> str:
    """Large or small."""
    _, top, _, bottom = box
    return "large" if bottom - top > LARGE else "small"


def compared(caption: Caption, found: Objects) -> dict[str, bool]:
    """Which of the things that a caption says are true of an image in which objects were found.

    count: it has as many digits. objects: they are these. sizes, relation: besides, each size, the
    relation, is as the caption says; a caption that says nothing of it is left out. all of it.
    """
    wanted = [mention.label for mention in caption.digits]
    count = len(found) == len(wanted)
    orders = permutations(range(len(found))) if count else ()
    fitting = []  # the boxes in each order in which their labels are the caption's
    for order in map(list, orders):
        if found.labels[order].tolist() == wanted:
            fitting.append(found.boxes[order])
    sizes = [sizes_hold(caption, boxes) for boxes in fitting]
    places = [relation_holds(caption, boxes) for boxes in fitting]
    truths = {"count": count, "objects": bool(fitting)}
    if any(mention.size for mention in caption.digits):
        truths["sizes"] = any(sizes)
    if caption.relation:
        truths["relation"] = any(places)
    truths["all"] = bool(np.any(np.logical_and(sizes, places)))
    return truths


def sizes_hold(caption: Caption, boxes: np.ndarray) -> bool:
    """Whether each box has the size that a caption mentions."""
    pairs = zip(caption.digits, boxes, strict=True)
    return all(mention.size in ("", size_of(box)) for mention, box in pairs)


def relation_holds(caption: Caption, boxes: np.ndarray) -> bool:
    """Whether the first box is where a caption has it from the second."""
    return not caption.relation or relation_between(*boxes) == caption.relation


def shares(captions: Sequence[Caption], found: Sequence[Objects]) -> dict[str, float]:
    """How many images show what their captions say: the columns of a table of text-to-image.

    One object, two objects: the share of captions of this kind whose digits were found, and no
    others. position: also the relation. sizes, all, count: of all captions.
    """
    columns: dict[str, list[bool]] = {}
    for column in (*KINDS, "count", "sizes", "all"):
        columns[column] = []
    for caption, objects in zip(captions, found, strict=True):
        truths = compared(caption, objects)
        right = truths.get("relation", truths["objects"])
        columns[caption.kind].append(right)
        for column in ("count", "sizes", "all"):
            if column in truths:
                columns[column].append(truths[column])
    means = {}
    for column, truths in columns.items():
        if truths:
            means[column] = float(np.mean(truths))
    return means
