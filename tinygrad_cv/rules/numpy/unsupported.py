"""What remains of NumPy's main namespace and numpy.fft: without a gradient by nature, or not supported."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..table import unsupported, without_gradient


def _named(names: str, namespace: Any = np) -> list[Any]:
    """The functions of these names, as far as this version of NumPy has them."""
    return [getattr(namespace, name) for name in names.split() if hasattr(namespace, name)]


# Integers, truth values, counting, and arrays that depend on a shape only.
without_gradient(
    *_named("bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or")
)
without_gradient(
    *_named(
        "bitwise_right_shift bitwise_xor invert left_shift right_shift gcd lcm packbits unpackbits"
    )
)
without_gradient(
    *_named(
        "histogram histogram2d histogramdd histogram_bin_edges isin in1d lexsort isnat isfortran"
    )
)
without_gradient(
    *_named(
        "arange array2string array_repr array_str base_repr binary_repr bartlett blackman hamming"
    )
)
without_gradient(
    *_named(
        "hanning kaiser empty eye full identity indices ones zeros tri fromfunction ix_ diag_indices"
    )
)
without_gradient(
    *_named("diag_indices_from mask_indices tril_indices tril_indices_from triu_indices")
)
without_gradient(
    *_named(
        "triu_indices_from ravel_multi_index unravel_index broadcast_shapes can_cast common_type"
    )
)
without_gradient(
    *_named("isdtype isscalar issubdtype iterable may_share_memory min_scalar_type mintypecode")
)
without_gradient(
    *_named("promote_types typename einsum_path format_float_positional format_float_scientific")
)
without_gradient(*_named("fftfreq rfftfreq", np.fft))

unsupported(
    "complex numbers",
    *_named(
        "fft fft2 fftn hfft ifft ifft2 ifftn ihfft irfft irfft2 irfftn rfft rfft2 rfftn", np.fft
    ),
)
unsupported("complex numbers", *_named("sort_complex"))
unsupported(
    "works in place", *_named("copyto fill_diagonal place put put_along_axis putmask nested_iters")
)
unsupported(
    "input and output",
    *_named("fromfile fromregex fromstring genfromtxt load loadtxt save savetxt savez"),
)
unsupported("input and output", *_named("savez_compressed from_dlpack frombuffer fromiter"))
unsupported(
    "makes a plain array",
    *_named("array asanyarray asarray asarray_chkfinite ascontiguousarray asfortranarray"),
)
unsupported("makes a plain array", *_named("asmatrix bmat require"))
unsupported(
    "dates", *_named("busday_count busday_offset is_busday datetime_as_string datetime_data")
)
unsupported(
    "polynomials", *_named("poly polyadd polyder polydiv polyfit polyint polymul polysub roots")
)
unsupported(
    "sets",
    *_named(
        "intersect1d setdiff1d setxor1d union1d unique unique_all unique_counts unique_inverse"
    ),
)
unsupported("sets", *_named("unique_values"))
unsupported(
    "settings",
    *_named("get_include get_printoptions getbufsize geterr geterrcall printoptions info"),
)
unsupported(
    "settings",
    *_named("set_printoptions setbufsize seterr seterrcall show_config show_runtime frompyfunc"),
)
