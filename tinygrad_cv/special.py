"""scipy.special for tensors: `from tinygrad_cv import special; special.logsumexp(t, axis=1)`.

SciPy's ufuncs work on tensors as they stand and are handed out unchanged. Its Python functions turn their
input into ndarrays, which a tensor refuses; those in the calculus table are handed out with a door for tensors.
"""

from __future__ import annotations

import functools
from typing import Any

from .rules import enter_scipy
from .tensor import TABLE, dispatch, is_tensor


def __getattr__(name: str) -> Any:
    from scipy import special

    enter_scipy()
    function = getattr(special, name)
    if function not in TABLE or hasattr(function, "nin"):
        return function

    @functools.wraps(function)
    def with_door(*args: Any, **kwargs: Any) -> Any:
        if any(is_tensor(a) for a in (*args, *kwargs.values())):
            return dispatch(function, args, kwargs)
        return function(*args, **kwargs)

    return with_door


def __dir__() -> list[str]:
    from scipy import special

    return list(special.__all__)
