"""Average precision against COCO's own program; ResNet's blocks against PyTorch's layers."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from models import resnet
from models.boxes import Objects
from models.detection_metrics import detection_metrics
from tests.test_parity_models import compare, in_dtype, theirs_like

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity


def theirs(found: list[Objects], truths: list[Objects], classes: int) -> dict[str, float]:
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    rows: dict[str, list[dict[str, Any]]] = {"true": [], "found": []}
    for name, pictures in (("true", truths), ("found", found)):
        for i, objects in enumerate(pictures):
            for label, box, score in zip(objects.labels, objects.boxes, objects.scores, strict=True):
                x, y, w, h = *box[:2], *(box[2:] - box[:2])
                rows[name].append(
                    {"id": len(rows[name]) + 1, "image_id": i, "category_id": int(label), "bbox": [x, y, w, h],
                     "area": w * h, "iscrowd": 0, "score": score}
                )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [{"id": i} for i in range(len(truths))],
            "categories": [{"id": c} for c in range(classes)],
            "annotations": rows["true"],
        }
        truth.createIndex()
        judge = cocoeval.COCOeval(truth, truth.loadRes(rows["found"]), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return dict(zip(("mAP", "AP50", "AP75"), judge.stats[:3], strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_average_precision_is_cocos(seed: int) -> None:
    """Scenes with none to many objects, shifted copies as what was found, scores with ties, more than 100 in a picture."""
    rng = np.random.default_rng(seed)
    classes, truths, found = 4, [], []
    for picture in range(30):
        n = int(rng.integers(0, 9))
        first = rng.uniform(0, 80, (n, 2))
        boxes = np.concatenate([first, first + rng.uniform(5, 30, (n, 2))], axis=1)
        labels = rng.integers(classes - (seed % 2), size=n)  # a class that never occurs, in every other case
        truths.append(Objects.certain(labels, boxes))
        copies = rng.integers(n, size=500 if picture == 0 and n else 3 * n) if n else np.zeros(0, int)
        moved = boxes[copies] + rng.normal(0, rng.choice([0.0, 0.5, 3.0], (len(copies), 1)), (len(copies), 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        told = np.where(rng.random(len(copies)) < 0.2, rng.integers(classes, size=len(copies)), labels[copies])
        found.append(Objects(told, moved, rng.random(len(copies)).round(1 + seed % 3)))
    assert detection_metrics(found, truths, classes) == pytest.approx(theirs(found, truths, classes), abs=1e-6)


def their_block(inputs: int, outputs: int, stride: int, kind: str) -> Any:
    """A block of PyTorch's layers, under the names of its own networks."""
    inner = outputs // 4
    shapes = {
        "basic": [(inputs, outputs, 3, stride), (outputs, outputs, 3, 1)],
        "bottleneck": [(inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1)],
    }[kind]

    class Theirs(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            for i, (a, b, size, step) in enumerate(shapes, 1):
                setattr(self, f"conv{i}", torch.nn.Conv2d(a, b, size, step, size // 2, bias=False))
                setattr(self, f"bn{i}", torch.nn.BatchNorm2d(b))
            if inputs != outputs or stride > 1:
                self.downsample = torch.nn.Sequential(
                    torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False), torch.nn.BatchNorm2d(outputs)
                )

        def forward(self, x: Any) -> Any:
            y, shortcut = x, self.downsample(x) if hasattr(self, "downsample") else x
            for i in range(1, len(shapes) + 1):
                y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
                y = torch.relu(y) if i < len(shapes) else y
            return torch.relu(y + shortcut)

    return Theirs()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
@pytest.mark.parametrize(("inputs", "stride"), [(8, 1), (4, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_a_block_of_the_resnet(inputs: int, stride: int, kind: str, training: bool, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    ours = in_dtype(resnet.Block(inputs, 8, stride, resnet.ResNetConfig(block=kind), rng=rng), dtype).train(training)
    for module in ours.modules():
        if hasattr(module, "running_var"):
            module.running_mean = rng.normal(size=module.running_mean.shape).astype(dtype)
            module.running_var = rng.uniform(0.3, 2, module.running_var.shape).astype(dtype)
    theirs = theirs_like(their_block(inputs, 8, stride, kind).to(getattr(torch, dtype.__name__)), ours).train(training)
    compare(ours, theirs, ours, theirs, [rng.normal(size=(3, inputs, 5, 6))], {}, dtype)


def test_frozen_normalisation_is_pytorchs_in_evaluation() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = resnet.FrozenBatchNorm2d(4), torch.nn.BatchNorm2d(4).eval()
    for name, array in ours.state_dict().items():
        array[...] = rng.uniform(0.3, 2, array.shape)
        theirs.state_dict()[name][...] = torch.from_numpy(array)
    x = rng.normal(size=(2, 4, 3, 5)).astype(np.float32)
    np.testing.assert_allclose(ours(x), theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-5, atol=1e-6)
