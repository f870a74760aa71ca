"""A trained generator of images is loaded from its folder without the lab, and draws the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.generative import DDPM, VAE, Generator, PixelRNN
from models.lab.cli import main, reopen

MODELS = {"gan": Generator, "vae": VAE, "ddpm": DDPM, "pixel-rnn": PixelRNN}


@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_generator_draws_what_its_task_draws(name: str, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    assert main(["train", name, "--preset", "tiny", "--steps", "3", "--out", run]) == 0
    model: Any = MODELS[name].from_pretrained(run)
    images = model.sample(3, rng=np.random.default_rng(0))
    expected = reopen(run).sample(3, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(images, expected)
