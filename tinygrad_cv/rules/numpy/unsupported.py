"""What remains of NumPy's main namespace and numpy.fft: without a gradient, or not supported."""

from __future__ import annotations

import numpy as np

from ..table import named, unsupported, without_gradient

BITS = """
bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or
bitwise_right_shift bitwise_xor invert left_shift right_shift gcd lcm packbits unpackbits
"""
COUNTING = "isin in1d lexsort isnat"
DEPENDING_ON_A_SHAPE = """
bartlett blackman hamming hanning empty eye identity indices ones zeros tri diag_indices
diag_indices_from mask_indices tril_indices tril_indices_from triu_indices triu_indices_from
ravel_multi_index unravel_index broadcast_shapes
"""
ABOUT_ARRAYS_AND_TYPES = """
array2string array_repr array_str base_repr binary_repr format_float_positional
format_float_scientific can_cast common_type einsum_path isdtype isfortran isscalar issubdtype
iterable may_share_memory min_scalar_type mintypecode promote_types typename
"""
without_gradient(*named(BITS, np), *named(COUNTING, np))
without_gradient(*named(DEPENDING_ON_A_SHAPE, np), *named(ABOUT_ARRAYS_AND_TYPES, np))
without_gradient(np.fft.fftfreq, np.fft.rfftfreq, refused=("d",))
without_gradient(np.kaiser, refused=("beta",))
without_gradient(
    np.arange,
    signature="start, stop=None, step=1, dtype=None, *, device=None, like=None",
    refused=("start", "step"),
)

IN_PLACE = "copyto fill_diagonal place put put_along_axis putmask nested_iters"
INPUT_AND_OUTPUT = """
fromfile fromregex fromstring genfromtxt load loadtxt save savetxt savez savez_compressed
from_dlpack frombuffer fromiter
"""
PLAIN_ARRAYS = """
array asanyarray asarray asarray_chkfinite ascontiguousarray asfortranarray asmatrix bmat require
"""
DATES = "busday_count busday_offset is_busday datetime_as_string datetime_data"
SETTINGS = """
get_include get_printoptions getbufsize geterr geterrcall printoptions info set_printoptions
setbufsize seterr seterrcall show_config show_runtime frompyfunc
"""
unsupported("works in place", *named(IN_PLACE, np))
unsupported("input and output", *named(INPUT_AND_OUTPUT, np))
unsupported("makes a plain array", *named(PLAIN_ARRAYS, np))
unsupported("dates", *named(DATES, np))
unsupported("settings", *named(SETTINGS, np))
