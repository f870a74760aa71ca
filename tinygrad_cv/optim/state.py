"""The two forms of an optimiser's state: flat names, as safetensors stores them, and torch.optim's.

Flat:
    {"param_groups.0.lr": 0.1, "0.step": 5, "0.exp_avg": array, "1.step": 5, ...}
Nested:
    {"param_groups": [{"lr": 0.1, "params": [0, 1]}],
     "state": {0: {"step": 5, "exp_avg": array}, ...}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..typing import Shape

# Options of torch.optim's groups that change how a step is computed, or are a scheduler's notes.
WITHOUT_INFLUENCE = {"foreach", "fused", "capturable", "differentiable", "initial_lr"}


def read_options(group: Mapping[str, Any], fixed: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """The options of a group of torch.optim's that exist here.

    `fixed`: PyTorch's options that have one value here; ValueError if the group has another.
    """
    options = {}
    for name, value in group.items():
        if name in fixed:
            if value != fixed[name]:
                raise ValueError(f"{owner} has {name}={fixed[name]} only; the state has {value}")
        elif name not in WITHOUT_INFLUENCE and name != "params":
            options[name] = value
    return options


def flatten(nested: Mapping[str, Any], shapes: Mapping[str, Shape]) -> dict[str, ArrayLike]:
    """The nested form under flat names. `shapes`: of the names that are expected.

    Parameters that have made no step have no state in torch.optim; here they have zeros. Its SGD
    counts no steps; here one is counted, since only the first differs from the others.
    """
    flat: dict[str, ArrayLike] = {}
    for n, group in enumerate(nested["param_groups"]):
        flat[f"param_groups.{n}.lr"] = group["lr"]
    for n, parameter_state in nested["state"].items():
        present = {name: array for name, array in parameter_state.items() if array is not None}
        if present:
            flat[f"{n}.step"] = 1
            flat |= {f"{n}.{name}": array for name, array in present.items()}
    started = {name.partition(".")[0] for name in flat}
    for name, shape in shapes.items():
        if name.partition(".")[0] not in started:
            flat[name] = np.zeros(shape)
    return flat


def check_state(state: Mapping[str, ArrayLike], shapes: Mapping[str, Shape], owner: str) -> None:
    """Raise ValueError if the names and shapes of a state under flat names are not as expected."""
    given = {name: np.shape(array) for name, array in state.items()}
    names = given.keys() | shapes.keys()
    unfit = sorted(name for name in names if given.get(name) != shapes.get(name))
    if not unfit:
        return
    shown = ", ".join(
        f"{name} (here {shapes.get(name, 'none')}, given {given.get(name, 'none')})"
        for name in unfit[:5]
    )
    raise ValueError(
        f"the state does not fit this {owner}; {len(unfit)} names or shapes differ: {shown}"
    )
