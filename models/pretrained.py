"""Models from files: `ViT.from_pretrained(folder)`, without what has trained them.

A folder holds `config.json`, in which "config" has a "model", and `checkpoint.safetensors`, which
names its arrays "part/name": those of the part "ema", the moving average of the weights, or, if
there is none, of the part "model". It is what `python -m models train` writes.
"""

from __future__ import annotations

import json
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from tinygrad_cv import nn, safetensors

from .config import ModelConfig, restored


class Pretrained(nn.Module):
    """A module that is made from a configuration alone, and can be loaded with it from a folder."""

    config_class: ClassVar[type[ModelConfig]]

    def __init__(self, config: Any, *, rng: np.random.Generator) -> None:
        raise NotImplementedError(f"{type(self).__name__} is not made from a configuration")

    @property
    def config(self) -> Any:
        """What has made the model. Raises TypeError where another type is set."""
        return self._config

    @config.setter
    def config(self, config: Any) -> None:
        if not isinstance(config, self.config_class):
            name, expected = type(self).__name__, self.config_class.__name__
            given = type(config).__name__
            raise TypeError(f"{name}: its configuration is of type {expected}, not {given}")
        self._config = config

    @classmethod
    def from_pretrained(cls, folder: str | PathLike[str]) -> Self:
        """The trained model in a folder, in evaluation mode; `train()` lets it learn on.

        Raises ValueError, or an OSError, that says what is missing or does not fit.
        """
        values = read_config(Path(folder))
        try:
            config = restored(values, cls.config_class())
            model = cls(config, rng=np.random.default_rng(0))
        except ValueError as error:
            raise ValueError(f"{Path(folder) / 'config.json'}: {error}") from None
        weights = read_weights(Path(folder))
        try:
            model.load_state_dict(weights)
        except (ValueError, KeyError) as error:
            raise ValueError(
                f"{folder}: its weights are not those of its config: {error}"
            ) from None
        return model.eval()

    def extra_repr(self) -> str:
        """What makes the model, as far as it is not what it usually is."""
        usual = self.config_class()
        pairs = ((field.name, getattr(self.config, field.name)) for field in fields(self.config))
        return ", ".join(f"{name}={v!r}" for name, v in pairs if v != getattr(usual, name))


def read_config(folder: Path) -> dict[str, Any]:
    """What a folder's config.json says of the model."""
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{folder} has no config.json; name the folder of a run") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    settings = content.get("config") if isinstance(content, dict) else None
    model = settings.get("model") if isinstance(settings, dict) else None
    if not isinstance(model, dict):
        raise ValueError(
            f'{path} does not have the configuration of a model, "config": {{"model": {{...}}}}; '
            "a run made before configurations were split is trained again"
        )
    return model


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a folder's checkpoint with which the model is used."""
    path = folder / "checkpoint.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no checkpoint.safetensors yet; train the run first")
    arrays = safetensors.load(path)
    parts = {name.partition("/")[0] for name in arrays}
    prefix = "ema/" if "ema" in parts else "model/"
    return {
        name.removeprefix(prefix): np.array(array)
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
