"""What remains of scipy.special: without a gradient by nature, or not supported."""

from __future__ import annotations

from scipy import special as sp

from ..table import named, unsupported, without_gradient

WHOLE_NUMBERS = "gammasgn round stirling2 bernoulli euler geterr seterr"
ZEROS = """
ai_zeros bi_zeros bei_zeros beip_zeros ber_zeros berp_zeros erf_zeros fresnel_zeros fresnelc_zeros
fresnels_zeros jn_zeros jnjnp_zeros jnp_zeros jnyn_zeros kei_zeros keip_zeros kelvin_zeros ker_zeros
kerp_zeros y0_zeros y1_zeros y1p_zeros yn_zeros ynp_zeros
"""
ROOTS_OF_POLYNOMIALS = """
roots_legendre roots_chebyt roots_chebyu roots_chebyc roots_chebys roots_laguerre roots_hermite
roots_hermitenorm roots_sh_legendre roots_sh_chebyt roots_sh_chebyu p_roots t_roots u_roots c_roots
s_roots l_roots h_roots he_roots ps_roots ts_roots us_roots
"""
without_gradient(*named(WHOLE_NUMBERS, sp), *named(ZEROS, sp), *named(ROOTS_OF_POLYNOMIALS, sp))

# Those of a parameter that may be any real number: differentiable there, without a rule.
without_gradient(*named("factorial2 factorialk", sp), refused=("n",))
without_gradient(*named("roots_jacobi j_roots", sp), refused=("alpha", "beta"))
without_gradient(*named("roots_sh_jacobi js_roots", sp), refused=("p1", "q1"))
without_gradient(*named("roots_genlaguerre la_roots", sp), refused=("alpha",))
without_gradient(*named("roots_gegenbauer cg_roots", sp), refused=("alpha",))

POLYNOMIAL_CLASSES = """
legendre chebyt chebyu chebyc chebys jacobi laguerre genlaguerre hermite hermitenorm gegenbauer
sh_legendre sh_chebyt sh_chebyu sh_jacobi
"""
TABLES_OF_VALUES = """
assoc_laguerre lpmn lpn lqmn lqn clpmn obl_cv_seq pro_cv_seq pbdn_seq pbdv_seq pbvv_seq lmbda
riccati_jn riccati_yn mathieu_even_coef mathieu_odd_coef
"""
INVERSES_IN_A_PARAMETER = """
bdtrik bdtrin btdtria btdtrib chdtriv chndtridf fdtridfd gdtrib nbdtrik nbdtrin ncfdtridfd
ncfdtridfn nctdtridf nctdtrinc pdtrik stdtridf zetac
"""
SPHEROIDAL = """
obl_ang1 obl_ang1_cv obl_cv obl_rad1 obl_rad1_cv obl_rad2 obl_rad2_cv pro_ang1 pro_ang1_cv pro_cv
pro_rad1 pro_rad1_cv pro_rad2 pro_rad2_cv ellip_harm ellip_harm_2 ellip_normal mathieu_a mathieu_b
"""
unsupported("polynomial classes", *named(POLYNOMIAL_CLASSES, sp))
unsupported("a table of values, not a function", *named(TABLES_OF_VALUES, sp))
unsupported("an old name; see sph_harm_y", *named("sph_harm", sp))
unsupported("no closed derivative", *named(INVERSES_IN_A_PARAMETER, sp))
unsupported("spheroidal, ellipsoidal and Mathieu functions", *named(SPHEROIDAL, sp))
unsupported("values of three digits only", sp.ncfdtrinc)
