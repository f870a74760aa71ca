"""SciPy for tensors: `tg.scipy.linalg.expm(t)`, `tg.scipy.stats.norm.logpdf(t, loc, scale)`.

SciPy's functions turn what they are given into ndarrays, which a tensor refuses. The rooms here
have SciPy's names and hand out SciPy's functions, those in the calculus table with a door for
tensors: on arrays they are SciPy's own.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import integrate, linalg, signal, special, stats

__all__ = ["integrate", "linalg", "signal", "special", "stats"]


def __getattr__(name: str) -> Any:
    """A room is imported when it is first entered: SciPy's take long."""
    if name in __all__:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(
        f"tg.scipy has no {name!r}; it mirrors {', '.join(__all__)}. Call SciPy's own on "
        "t.detach().numpy()"
    )


def __dir__() -> list[str]:
    return [*__all__]
