"""The frozen judge of scenes: a DETR that was trained once, on other scenes than it judges.

It has never seen an image that a model has drawn, nor a caption.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any, Self

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv.safetensors import load, load_metadata

from ...config import restored
from ...vision.boxes import Objects, iou
from ...vision.detr import DETR, DETRConfig
from ...vision.matching import predicted_objects
from .captions import KINDS, Caption, draw_caption, shares
from .generation import NoEvaluator

SURE = 0.5  # objects of a higher probability are found
SAME = 0.5  # of two whose intersection over union is larger only the surer one counts
BATCH = 100  # images at a time


@dataclass(frozen=True)
class Judge:
    """A detector, which finds digits in grey images of one size (N, H, W)."""

    detector: DETR
    canvas: int  # height and width

    @classmethod
    def load(cls, name: str) -> Self:
        """The judge embedded in the package for scenes of a data set's digits.

        Raises NoEvaluator for another data set than "digits".
        """
        resource = files(__package__) / "evaluators" / f"scenes-{name}.safetensors"
        if not resource.is_file():
            raise NoEvaluator(
                f"there is no frozen judge of scenes of {name!r}, only of 'digits': images of "
                "captions are measured on these, and shown in any case"
            )
        with as_file(resource) as path:
            arrays, metadata = load(path), load_metadata(path)
        config = restored(json.loads(metadata["config"]), DETRConfig())
        detector = DETR(config, rng=np.random.default_rng(0))
        state = {key: array.astype(np.float32) for key, array in arrays.items()}
        detector.load_state_dict(state)
        return cls(detector.eval(), int(metadata["canvas"]))

    def find(self, images: np.ndarray) -> list[Objects]:
        """The objects of each image (N, H, W) that are more probable than not.

        Raises NoEvaluator for images of another size than the detector has learned from.
        """
        if images.shape[1:] != (self.canvas, self.canvas):
            raise NoEvaluator(
                f"the judge looks at images of {self.canvas} x {self.canvas}, not at those of "
                f"shape {images.shape[1:]}"
            )
        found: list[Objects] = []
        with tg.no_grad():
            for start in range(0, len(images), BATCH):
                part = np.asarray(images[start : start + BATCH], np.float32)
                mask = np.ones(part.shape, bool)
                logits, boxes = self.detector(tg.Tensor(part), mask)
                sizes = np.full((len(part), 4), self.canvas)
                found += predicted_objects(logits[-1].numpy(), boxes[-1].numpy(), sizes)
        return [distinct(objects[objects.scores > SURE]) for objects in found]


def distinct(found: Objects) -> Objects:
    """Objects without those that cover the same place as a surer one: two queries found one."""
    found = found[np.argsort(-found.scores, kind="stable")]
    kept: list[int] = []
    for i, box in enumerate(found.boxes):
        if np.all(iou(box, found.boxes[kept]) <= SAME):
            kept.append(i)
    return found[kept]


def text_to_image_report(
    name: str,
    draw: Callable[[Sequence[str]], np.ndarray],
    draw_real: Callable[[Caption], np.ndarray],
    judge: Judge,
    part: str,
    number: int,
    *,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Rows of a table: how often images show what their captions say, beside floor and ceiling.

    name: the model's.
    draw: images (N, H, W) of N captions. draw_real: a real image (H, W) of a caption.
    part: whose pairs of digits are unseen, "validation" or "test".
    number: of captions of each kind.
    """
    kinds = [kind for kind in KINDS for _ in range(number)]
    familiar = [draw_caption("training", kind, rng=rng) for kind in kinds]
    unseen = [draw_caption(part, kind, rng=rng) for kind in kinds if kind != "one object"]
    found = judge.find(draw([caption.text for caption in familiar]))
    found_unseen = judge.find(draw([caption.text for caption in unseen]))
    real = judge.find(np.stack([draw_real(caption) for caption in familiar]))
    return [
        {"name": name, **shares(familiar, found)},
        {"name": f"{name}, pairs never seen", **shares(unseen, found_unseen)},
        {"name": "real", **shares(familiar, real)},
        {"name": "shuffled captions", **shares(others(familiar, rng=rng), found)},
        {
            "name": "chance: real images of other captions",
            **shares(others(familiar, rng=rng), real),
        },
    ]


def others(captions: Sequence[Caption], *, rng: np.random.Generator) -> list[Caption]:
    """The captions in another order, each in a place of one of its kind."""
    result = list(captions)
    for kind in KINDS:
        places = [i for i, caption in enumerate(captions) if caption.kind == kind]
        for i, j in zip(places, rng.permutation(places), strict=True):
            result[i] = captions[j]
    return result
