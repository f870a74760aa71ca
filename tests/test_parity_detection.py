"""Average precision against COCO's own program; ResNet's blocks against PyTorch's layers."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.lab.evaluation.detection import detection_metrics
from models.vision import detr, resnet
from models.vision.boxes import Objects
from models.vision.matching import criterion
from tests.test_parity_models import compare, in_dtype, theirs_like
from tinygrad_cv import safetensors

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
    ours = in_dtype(resnet.Block(inputs, 8, stride, resnet.ResNetConfig(layer_type=kind), rng=rng), dtype).train(training)
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


NAMES = (  # of transformers' files, as regular expressions, and ours
    (r".*embedder\.convolution", "backbone.conv1"),
    (r".*embedder\.normalization", "backbone.bn1"),
    (r".*stages\.(\d)\.layers\.(\d)\.shortcut\.convolution", r"backbone.layer\1+.\2.downsample.0"),
    (r".*stages\.(\d)\.layers\.(\d)\.shortcut\.normalization", r"backbone.layer\1+.\2.downsample.1"),
    (r".*stages\.(\d)\.layers\.(\d)\.layer\.(\d)\.convolution", r"backbone.layer\1+.\2.conv\3+"),
    (r".*stages\.(\d)\.layers\.(\d)\.layer\.(\d)\.normalization", r"backbone.layer\1+.\2.bn\3+"),
    (r"model\.query_position_embeddings", "query_embed"),
    (r"encoder_attn_layer_norm", "norm2"),
    (r"self_attn_layer_norm", "norm1"),
    (r"(encoder.*)final_layer_norm", r"\1norm2"),
    (r"final_layer_norm", "norm3"),
    (r"encoder_attn", "multihead_attn"),
    (r"\.o_proj", ".out_proj"),
    (r"(mlp\.)?fc([12])", r"linear\2"),
    (r"decoder\.layernorm", "decoder.norm"),
    (r"class_labels_classifier", "class_embed"),
    (r"bbox_predictor", "bbox_embed"),
    (r"input_projection", "input_proj"),
    (r"^model\.", ""),
)


def our_state(theirs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a file of transformers under our names; queries, keys and values in one."""
    state: dict[str, Any] = {}
    for name, array in theirs.items():
        for pattern, ours in NAMES:
            name = re.sub(pattern, ours, name)
        name = re.sub(r"(\d)\+", lambda m: str(int(m[1]) + 1), name)  # they count from 0
        if split := re.fullmatch(r"(.*attn)\.([qkv])_proj\.(\w+)", name):
            state.setdefault(f"{split[1]}.in_proj_{split[3]}", {})[split[2]] = array
        else:
            state[name] = array
    joined = {n: np.concatenate([a[c] for c in "qkv"]) for n, a in state.items() if isinstance(a, dict)}
    return {**state, **joined}


@pytest.mark.parametrize("padded", [False, True])
def test_detr_is_that_of_transformers(padded: bool, tmp_path: Path) -> None:
    """A small random model with lively norms, written by transformers: logits, boxes and loss, with and without padding."""
    transformers = pytest.importorskip("transformers")
    rng, depths, widths = np.random.default_rng(0), (1, 2, 1, 1), (16, 32, 64, 128)
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=list(widths), depths=list(depths), out_features=["stage4"]
    )
    theirs = transformers.DetrForObjectDetection(
        transformers.DetrConfig(
            backbone_config=backbone, use_timm_backbone=False, num_queries=7, d_model=32, encoder_layers=2, num_labels=3,
            decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48,
        )
    ).eval()  # fmt: skip
    for name, array in theirs.state_dict().items():
        if name.endswith("running_var"):
            array[...] = torch.from_numpy(rng.uniform(0.3, 2, array.shape))
        elif array.ndim == 1:
            lively = "norm" in name and name.endswith("weight")
            array[...] = torch.from_numpy(lively + 0.2 * rng.normal(size=array.shape))
    theirs.save_pretrained(tmp_path)
    config = detr.DETRConfig(
        classes=3, queries=7, channels=3, stem=8, stem_size=7, pool=True, widths=widths, depths=depths, block="bottleneck",
        frozen=True, silent=False, dimension=32, heads=4, hidden=48, encoders=2, decoders=2, pre_norm=False, temperature=10_000.0,
    )  # fmt: skip
    ours = detr.DETR(config, rng=rng).eval()
    ours.load_state_dict(our_state(dict(safetensors.load(tmp_path / "model.safetensors"))))
    images, mask = rng.normal(size=(2, 90, 130, 3)).astype(np.float32), np.ones((2, 90, 130), bool)
    if padded:
        mask[0, 70:], mask[1, :, 101:] = False, False
        images *= mask[..., None]
    sets = [(rng.integers(3, size=n), rng.uniform(0.2, 0.6, (n, 4))) for n in (4, 2)]
    labels = [{"class_labels": torch.from_numpy(c), "boxes": torch.from_numpy(b).float()} for c, b in sets]
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(mask).long(), labels=labels)
    logits, boxes = ours(images, mask)
    loss, _ = criterion(logits[-1:], boxes[-1:], [Objects.certain(c, b) for c, b in sets])
    assert loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
    np.testing.assert_allclose(logits.numpy()[-1], expected.logits, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(boxes.numpy()[-1], expected.pred_boxes, atol=2e-6, rtol=1e-5)
