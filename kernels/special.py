"""What special functions compute, by approximations that need nothing but arithmetic.

All of them compute in float64 and round once, so that narrow types are exact to their last bit.
The error function follows W. J. Cody, "Rational Chebyshev approximations for the error function",
Math. Comp. 23 (1969); the quantiles M. J. Wichura, "Algorithm AS 241", Applied Statistics 37
(1988). The coefficients of `_SINGLE_ERF` and `_LGAMMA` are least-squares fits made for this file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core.rules import kernel

# On a CPU, so many numbers at a time: what is computed on the way stays in the cache.
_BLOCK = 8192


def _special(op_type: str, **properties: Any) -> Callable[[Any], Any]:
    """Register `f(xp, x)` of float64 arrays as a kernel for every floating type."""

    def register(function: Any) -> Any:
        def whole(xp: Any, x: Any) -> Any:
            return function(xp, x.astype("float64")).astype(x.dtype)

        def in_blocks(xp: Any, x: Any) -> Any:
            if x.size <= _BLOCK:
                return function(xp, x.astype("float64")).astype(x.dtype)
            flat = x.ravel()
            result = xp.empty(flat.shape, flat.dtype)
            for start in range(0, flat.size, _BLOCK):
                part = slice(start, start + _BLOCK)
                result[part] = function(xp, flat[part].astype("float64"))
            return result.reshape(x.shape)

        kernel(op_type, device="CPU", elementwise="broadcast", **properties)(in_blocks)
        kernel(op_type, elementwise="broadcast", **properties)(whole)
        return function

    return register


def _polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    """Horner's scheme; the coefficient of the highest power comes first."""
    result = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        result = result * x + coefficient
    return result


# --- the error function ---------------------------------------------------------------------------

_SINGLE_ERF = (
    (2.02588622e-06, 0.000284686896, 0.00380818497, 0.0528755213, 0.191551055, 1.12837914),
    (3.78315275e-05, 0.00117072872, 0.0150551403, 0.114559909, 0.503090378, 1.0),
)
# Below 0.46875, of x**2.
_NEAR = (
    (
        *(1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2),
        *(3.77485237685302021e2, 3.20937758913846947e3),
    ),
    (
        *(1.0, 2.36012909523441209e1, 2.44024637934444173e2),
        *(1.28261652607737228e3, 2.84423683343917062e3),
    ),
)
# Up to 4, of x.
_MIDDLE = (
    (
        *(2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594),
        *(6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2),
        *(1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    ),
    (
        *(1.0, 1.57449261107098347e1, 1.17693950891312499e2),
        *(5.37181101862009858e2, 1.62138957456669019e3, 3.29079923573346e3),
        *(4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
    ),
)
# Beyond, of 1 / x**2.
_FAR = (
    (
        *(1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1),
        *(1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4),
    ),
    (
        *(1.0, 2.56852019228982242, 1.87295284992346047),
        *(5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3),
    ),
)


@_special("Erf", types={"T": ("bfloat16", "half", "float")})
def _single_erf(xp: Any, x: Any) -> Any:
    x = xp.clip(x, -3.95, 3.95)  # beyond, float32 knows 1 only
    square = x * x
    return x * _polynomial(square, _SINGLE_ERF[0]) / _polynomial(square, _SINGLE_ERF[1])


def _near_erf(xp: Any, x: Any) -> Any:
    square = x * x
    return x * _polynomial(square, _NEAR[0]) / _polynomial(square, _NEAR[1])


def _far_erfc(xp: Any, x: Any) -> Any:
    """`erfc` of numbers above 0.46875."""
    inside = xp.minimum(x, 4.0)
    middle = _polynomial(inside, _MIDDLE[0]) / _polynomial(inside, _MIDDLE[1])
    outside = xp.maximum(x, 4.0)
    inverse = 1.0 / (outside * outside)
    far = inverse * _polynomial(inverse, _FAR[0]) / _polynomial(inverse, _FAR[1])
    far = (1.0 / math.sqrt(math.pi) - far) / outside
    # exp(-x * x) in two factors, the first of a number whose square is exact.
    coarse = xp.trunc(x * 16.0) / 16.0
    falls = xp.exp(-coarse * coarse) * xp.exp((coarse - x) * (coarse + x))
    return falls * xp.where(x <= 4.0, middle, far)


@_special("Erf", types={"T": ("double",)})
def _erf(xp: Any, x: Any) -> Any:
    size = xp.abs(x)
    far = 1.0 - _far_erfc(xp, xp.clip(size, 0.46875, 6.0))
    near = _near_erf(xp, xp.minimum(size, 0.46875))
    return xp.copysign(xp.where(size <= 0.46875, near, far), x)


@_special("Erfc")
def _erfc(xp: Any, x: Any) -> Any:
    size = xp.abs(x)
    far = _far_erfc(xp, xp.clip(size, 0.46875, 27.5))
    near = 1.0 - _near_erf(xp, xp.clip(x, -0.46875, 0.46875))
    return xp.where(size <= 0.46875, near, xp.where(x < 0, 2.0 - far, far))


# --- quantiles of the normal distribution ---------------------------------------------------------

_CENTRAL = (
    (
        *(2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4),
        *(4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3),
        *(1.3314166789178437745e2, 3.3871328727963666080),
    ),
    (
        *(5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4),
        *(2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2),
        *(4.2313330701600911252e1, 1.0),
    ),
)
_TAIL = (
    (
        *(7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1),
        *(1.27045825245236838258, 3.64784832476320460504, 5.76949722146069140550),
        *(4.63033784615654529590, 1.42343711074968357734),
    ),
    (
        *(1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2),
        *(1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940),
        *(2.05319162663775882187, 1.0),
    ),
)
_EXTREME = (
    (
        *(2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3),
        *(2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580),
        *(5.46378491116411436990, 6.65790464350110377720),
    ),
    (
        *(2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5),
        *(7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1),
        *(5.99832206555887937690e-1, 1.0),
    ),
)


def _quantile(xp: Any, from_middle: Any, tail: Any) -> Any:
    """The normal quantile of p, given p - 1/2 and the smaller one of p and 1 - p."""
    r = 0.180625 - xp.square(xp.clip(from_middle, -0.425, 0.425))
    central = from_middle * _polynomial(r, _CENTRAL[0]) / _polynomial(r, _CENTRAL[1])
    depth = xp.sqrt(-xp.log(tail))
    r = xp.minimum(depth, 5.0) - 1.6
    outer = _polynomial(r, _TAIL[0]) / _polynomial(r, _TAIL[1])
    r = xp.maximum(depth, 5.0) - 5.0
    extreme = _polynomial(r, _EXTREME[0]) / _polynomial(r, _EXTREME[1])
    outer = xp.where(depth <= 5.0, outer, extreme)
    outer = xp.where(tail == 0, math.inf, outer)
    return xp.where(xp.abs(from_middle) <= 0.425, central, xp.copysign(outer, from_middle))


@_special("Ndtri")
def _ndtri(xp: Any, x: Any) -> Any:
    return _quantile(xp, x - 0.5, xp.minimum(x, 1.0 - x))


@_special("Erfinv")
def _erfinv(xp: Any, x: Any) -> Any:
    return _quantile(xp, 0.5 * x, 0.5 * (1.0 - xp.abs(x))) * math.sqrt(0.5)


# --- the gamma function ---------------------------------------------------------------------------

# lgamma(1 + z) / (z * (z - 1)) between 0 and 1, of 2 * z - 1.
_LGAMMA = (
    *(1.1586115290270888e-11, -3.5364743380780951e-11, 5.0258222120007325e-11),
    *(-1.6381596734841584e-10, 6.5664038187454591e-10, -2.0735267758486325e-9),
    *(6.4302607276977598e-9, -2.0577345254476193e-8, 6.6238780772609871e-8),
    *(-2.1388452890262634e-7, 6.9484280641865013e-7, -2.2742409034140555e-6),
    *(7.5113918556418779e-6, -2.5094329864078195e-5, 8.5100903734994314e-5),
    *(-2.9455070139898495e-4, 1.0498186644547402e-3, -3.9135609376317689e-3),
    *(1.5727850268641094e-2, -7.2979947957152967e-2, 4.8312895054098089e-1),
)
# B(2k) / (2k * (2k - 1)) and B(2k) / 2k: Stirling's series and its derivative's, of 1 / x**2.
_STIRLING = (
    *(-3617 / 122400, 1 / 156, -691 / 360360, 1 / 1188),
    *(-1 / 1680, 1 / 1260, -1 / 360, 1 / 12),
)
_DIGAMMA = (3617 / 8160, -1 / 12, 691 / 32760, -1 / 132, 1 / 240, -1 / 252, 1 / 120, -1 / 12)


def _positive_lgamma(xp: Any, x: Any) -> Any:
    """`lgamma` of numbers above zero."""
    # lgamma(x) = lgamma(x + 1) - log(x) below 1; above 2, log(x - 1) is taken off, and so on.
    step = xp.minimum(xp.maximum(xp.floor(x) - 1.0, -1.0), 6.0)
    base = xp.minimum(x, 9.0) - step
    factor = xp.where(x < 1.0, 1.0 / x, 1.0)
    for k in range(6):
        factor = factor * xp.where(step > k, base + k, 1.0)
    z = base - 1.0
    small = z * (z - 1.0) * _polynomial(2.0 * z - 1.0, _LGAMMA) + xp.log(factor)
    large = xp.maximum(x, 8.0)
    series = _polynomial(1.0 / (large * large), _STIRLING) / large
    stirling = (large - 0.5) * xp.log(large) - large + (0.5 * math.log(2 * math.pi) + series)
    return xp.where(x < 8.0, small, xp.where(x < math.inf, stirling, x))


@_special("Lgamma")
def _lgamma(xp: Any, x: Any) -> Any:
    size = xp.abs(x)
    above = _positive_lgamma(xp, size)
    # Below zero by reflection; the sine is taken of the distance to the nearest whole number.
    sine = xp.abs(xp.sin(math.pi * (size - xp.rint(size))))
    below = math.log(math.pi) - xp.log(size * sine) - above
    below = xp.where((sine == 0) | xp.isinf(size), math.inf, below)
    return xp.where(x > 0, above, xp.where(xp.isnan(x), x, below))


@_special("Digamma")
def _digamma(xp: Any, x: Any) -> Any:
    reflected = x <= 0
    y = xp.where(reflected, 1.0 - x, x)
    total = xp.zeros_like(y)
    for _ in range(8):
        small = y < 8.0
        total = total - xp.where(small, 1.0 / y, 0.0)
        y = xp.where(small, y + 1.0, y)
    inverse = 1.0 / (y * y)
    value = total + xp.log(y) - 0.5 / y + inverse * _polynomial(inverse, _DIGAMMA)
    angle = math.pi * (x - xp.rint(x))
    value = xp.where(reflected, value - math.pi / xp.tan(angle), value)
    return xp.where(reflected & (x == xp.rint(x)), math.nan, value)


# B(2k) / (2k)!: the corrections of Euler's and Maclaurin's sum.
_EULER_MACLAURIN = (
    *(1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000),
    *(1 / 74724249600, -3617 / 10670622842880000, 43867 / 5109094217170944000),
    *(-174611 / 802857662698291200000,),
)
_FIRST = 16.0  # from where on the sum is an integral
_LEAST = -2000.0  # below, nothing is computed


def _hurwitz(xp: Any, x: Any, q: Any) -> Any:
    """The sum of `(q + n) ** -x` for x above 1."""
    base, total = q + xp.zeros_like(x), xp.zeros_like(x + q)
    least = xp.where(base > _LEAST, base, _FIRST).min() if base.size else _FIRST
    for _ in range(math.ceil(_FIRST - float(least))):
        small = base < _FIRST
        total = total + xp.where(small, xp.power(base, -x), 0.0)
        base = xp.where(small, base + 1.0, base)
    power = xp.power(base, -x)
    total = total + power * (base / (x - 1.0) + 0.5)
    factor = power * x / base
    for k, coefficient in enumerate(_EULER_MACLAURIN):
        total = total + coefficient * factor
        factor = factor * (x + (2 * k + 1)) * (x + (2 * k + 2)) / (base * base)
    undefined = (x < 1.0) | ((q <= 0) & (x != xp.floor(x))) | (q < _LEAST)
    total = xp.where(undefined, math.nan, total)
    return xp.where((x == 1.0) | ((q <= 0) & (q == xp.floor(q))), math.inf, total)


@kernel("Zeta", elementwise="broadcast")
def zeta(xp: Any, x: Any, q: Any) -> Any:
    """Infinite at whole numbers from 0 down."""
    return _hurwitz(xp, x.astype("float64"), q.astype("float64")).astype(x.dtype)


@kernel("Polygamma", elementwise="broadcast")
def polygamma(xp: Any, a: Any, x: Any) -> Any:
    """From the zeta function, except for order 0."""
    order, wide = a.astype("float64"), x.astype("float64")
    sign = xp.where(order % 2.0 == 0.0, -1.0, 1.0)
    above = sign * xp.exp(_lgamma(xp, order + 1.0)) * _hurwitz(xp, order + 1.0, wide)
    value = xp.where(order == 0.0, _digamma(xp, wide), above)
    return xp.where((order >= 0.0) & (order == xp.floor(order)), value, math.nan).astype(x.dtype)
