"""A trained model is loaded from its folder as a plain object, without the lab."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.lab.cli import main, reopen
from models.vision import ViT, ViTConfig, YOLOSConfig
from tinygrad_cv import data

IMAGES = data.digits("test").images[:5]

SCRIPT = """
import sys
import numpy as np
from models.vision import ViT

model = ViT.from_pretrained(sys.argv[1])
np.save(sys.argv[2], model(np.load(sys.argv[3])).numpy())
unwanted = {"models.lab", "tqdm", "matplotlib", "PIL"} & set(sys.modules)
assert not unwanted, unwanted
print(model)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit") / "run"
    command = ["train", "vit", "--preset", "tiny", "--steps", "3", "--out", str(folder)]
    assert main([*command, "--set", "model.hidden_dropout_prob=0.5"]) == 0
    return folder


def test_a_script_loads_a_model_without_the_lab_and_sees_what_it_is(
    run: Path, tmp_path: Path
) -> None:
    images, logits = tmp_path / "images.npy", tmp_path / "logits.npy"
    np.save(images, IMAGES)
    words = [SCRIPT, str(run), str(logits), str(images)]
    done = subprocess.run(
        [sys.executable, "-c", *words], check=True, capture_output=True, text=True
    )
    with reopen(str(run)).learner.ema_weights() as model:  # type: ignore[attr-defined]
        np.testing.assert_array_equal(np.load(logits), model(IMAGES).numpy())
    head = done.stdout.partition("\n")[0]
    assert head.startswith("ViT(patch_size=4, hidden_size=8, num_hidden_layers=1, ")
    assert head.endswith("hidden_dropout_prob=0.5  # 890 parameters")


def test_what_is_not_the_folder_of_such_a_model_is_refused(
    run: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no config\.json; name the folder of a run"):
        ViT.from_pretrained(tmp_path)
    content = json.loads((run / "config.json").read_text())
    path = tmp_path / "config.json"

    def refused(kind: type[Exception], message: str) -> None:
        path.write_text(json.dumps(content))
        with pytest.raises(kind, match=message):
            ViT.from_pretrained(tmp_path)

    refused(FileNotFoundError, "no checkpoint.safetensors yet; train the run first")
    (tmp_path / "checkpoint.safetensors").write_bytes((run / "checkpoint.safetensors").read_bytes())
    content["config"]["model"]["hidden_size"] = 16
    refused(ValueError, "its weights are not those of its config")
    content["config"]["model"]["hidden_size"] = "8"
    refused(ValueError, "config.json: hidden_size='8': a value like 64 is expected")
    content["config"]["model"]["hidden_size"] = 8
    content["config"]["model"]["image_size"] = [8]
    refused(ValueError, r"config.json: image_size=\(8,\): a pair \(H, W\) is expected")
    content["config"]["model"]["image_size"] = ["8", "8"]
    refused(ValueError, r"config.json: image_size=\('8', '8'\): a value like \(8, 8\) is expected")
    content["config"]["model"]["model_type"] = "detr"
    refused(ValueError, "config.json: model_type='detr': a ViTConfig is 'vit'")
    del content["config"]["model"]
    refused(ValueError, r"does not have the configuration of a model, .* is trained again")
    path.write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not JSON"):
        ViT.from_pretrained(tmp_path)


@pytest.mark.parametrize("config", [{"hidden_size": 8}, None, ViTConfig, YOLOSConfig()])
def test_a_model_refuses_what_is_not_its_configuration(config: Any) -> None:
    kind = type(config).__name__
    with pytest.raises(TypeError, match=f"ViT: its configuration is of type ViTConfig, not {kind}"):
        ViT(config, rng=np.random.default_rng(0))


@pytest.mark.parametrize("image_size", [8, (8,), (8, 8, 1), [8, 8]])
def test_an_image_size_is_a_pair(image_size: Any) -> None:
    with pytest.raises(ValueError, match=r"image_size=.*: a pair .* is expected"):
        ViTConfig(image_size=image_size)


@pytest.mark.parametrize("qkv_bias", [True, False])
def test_queries_keys_and_values_have_a_bias_or_none(qkv_bias: bool) -> None:
    config = replace(ViTConfig(), num_hidden_layers=2, qkv_bias=qkv_bias)
    model = ViT(config, rng=np.random.default_rng(0))
    biases = [p for n, p in model.named_parameters() if n.endswith("in_proj_bias")]
    assert len(biases) == 2 * qkv_bias
    model(IMAGES).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
