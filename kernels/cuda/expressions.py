"""How CUDA C writes a step of a program, for one element.

Numbers of half and bfloat16 stand in variables of `float`, rounded after each step, as NumPy rounds
them; float32 is computed in float, integers wrap around. Comparisons with NaN, signed zeros, shifts
beyond the width and divisions by zero are as NumPy has them.
"""

from __future__ import annotations

import math
from typing import Final

from tfsession.devices.program import Step

# What a number is in a variable, and in memory.
VARIABLES: Final = {
    "bool": "bool",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "unsigned long long",
    "float16": "float",
    "bfloat16": "float",
    "float32": "float",
    "float64": "double",
}
STORED: Final = {**VARIABLES, "float16": "half_bits", "bfloat16": "bfloat16_bits"}
NARROW: Final = ("float16", "bfloat16")

PRELUDE: Final = r"""
struct half_bits { unsigned short bits; };
struct bfloat16_bits { unsigned short bits; };
template <typename T, int N> struct alignas(sizeof(T) * N) pack { T at[N]; };

__device__ __forceinline__ float loaded(const half_bits x) { return half_to_float(x.bits); }
__device__ __forceinline__ float loaded(const bfloat16_bits x) {
  return __int_as_float((int)((unsigned int)x.bits << 16));
}
template <typename T> __device__ __forceinline__ T loaded(const T x) { return x; }
__device__ __forceinline__ unsigned short to_bfloat16(const float x) {
  const unsigned int bits = (unsigned int)__float_as_int(x);
  if (x != x) return (unsigned short)((bits >> 16 & 0x8000) | 0x7fc0);
  return (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
__device__ __forceinline__ void store(half_bits& to, const float x) {
  to.bits = float_to_half(x);
}
__device__ __forceinline__ void store(bfloat16_bits& to, const float x) {
  to.bits = to_bfloat16(x);
}
template <typename T> __device__ __forceinline__ void store(T& to, const T x) { to = x; }
__device__ __forceinline__ float round_float16(const float x) {
  return half_to_float(float_to_half(x));
}
__device__ __forceinline__ float round_float16(const double x) {
  return half_to_float(double_to_half(x));
}
__device__ __forceinline__ float round_bfloat16(const float x) {
  return __int_as_float((int)((unsigned int)to_bfloat16(x) << 16));
}

template <typename T> __device__ __forceinline__ T shuffled(const T x, const int distance) {
  if constexpr (sizeof(T) < 4) {
    return (T)__shfl_xor_sync(0xffffffffu, (int)x, distance);
  } else {
    return __shfl_xor_sync(0xffffffffu, x, distance);
  }
}

// As NumPy: NaN goes on, and of equal numbers the second is given.
template <typename T> __device__ __forceinline__ T greater_of(const T a, const T b) {
  return a > b || a != a ? a : b;
}
template <typename T> __device__ __forceinline__ T less_of(const T a, const T b) {
  return a < b || a != a ? a : b;
}
template <typename T> __device__ __forceinline__ T sign_of(const T a) {
  return a > 0 ? (T)1 : a < 0 ? (T)-1 : a == 0 ? (T)0 : a;
}
template <typename T> __device__ __forceinline__ T left_shift(const T a, const T b) {
  return b >= 0 && b < (T)(8 * sizeof(T)) ? (T)(a << b) : (T)0;
}
template <typename T> __device__ __forceinline__ T right_shift(const T a, const T b) {
  return b >= 0 && b < (T)(8 * sizeof(T)) ? (T)(a >> b) : a < 0 ? (T)-1 : (T)0;
}
template <typename T> __device__ __forceinline__ T int_floor_divide(const T a, const T b) {
  if (b == 0) return 0;
  if ((T)-1 < 0 && b == (T)-1) return (T)(0 - a);
  const T quotient = (T)(a / b);
  return (T)(quotient - ((a % b != 0) & ((a < 0) != (b < 0))));
}
template <typename T> __device__ __forceinline__ T int_remainder(const T a, const T b) {
  if (b == 0 || ((T)-1 < 0 && b == (T)-1)) return 0;
  const T rest = (T)(a % b);
  return (T)(rest + (rest != 0 && (rest < 0) != (b < 0) ? b : (T)0));
}
template <typename T> __device__ __forceinline__ T int_fmod(const T a, const T b) {
  return b == 0 || ((T)-1 < 0 && b == (T)-1) ? (T)0 : (T)(a % b);
}
template <typename T> __device__ __forceinline__ T float_remainder(const T a, const T b) {
  const T rest = fmod(a, b);
  if (b == 0) return rest;
  if (rest != 0) return (b < 0) != (rest < 0) ? rest + b : rest;
  return copysign((T)0, b);
}
template <typename T> __device__ __forceinline__ T float_floor_divide(const T a, const T b) {
  if (b == 0) return a / b;
  const T rest = fmod(a, b);
  T quotient = (a - rest) / b;
  if (rest != 0) { if ((b < 0) != (rest < 0)) quotient -= 1; }
  if (quotient == 0) return copysign((T)0, a / b);
  T down = floor(quotient);
  if (quotient - down > (T)0.5) down += 1;
  return down;
}
"""

# By the machine's instructions: conversions of the narrow types, and products of fragments of
# matrices, which all threads of a warp compute together.
DEVICE: Final = r"""
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fc00000)
__device__ __forceinline__ float half_to_float(const unsigned short x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
  return y;
}
__device__ __forceinline__ unsigned short float_to_half(const float x) {
  unsigned short y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ unsigned short double_to_half(const double x) {
  unsigned short y;
  asm("cvt.rn.f16.f64 %0, %1;" : "=h"(y) : "d"(x));
  return y;
}
__device__ __forceinline__ float rounded_tf32(const float x) {
  unsigned int y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return __int_as_float((int)y);
}
__device__ __forceinline__ unsigned int two_as_half(const float low, const float high) {
  unsigned int y;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}
__device__ __forceinline__ unsigned int two_as_bfloat16(const float low, const float high) {
  unsigned int y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}
#define MMA(name, kind) \
  __device__ __forceinline__ void name(float* c, const unsigned int* a, const unsigned int* b) { \
    asm volatile("mma.sync.aligned." kind " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1])); \
  }
MMA(mma_half, "m16n8k16.row.col.f32.f16.f16.f32")
MMA(mma_bfloat16, "m16n8k16.row.col.f32.bf16.bf16.f32")
MMA(mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
// Four matrices of 8 by 8 halves, transposed; lanes 8i to 8i + 7 give the rows of the i-th.
__device__ __forceinline__ void matrices_turned(unsigned int* to, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
      : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
      : "r"((unsigned int)__cvta_generic_to_shared(row)) : "memory");
}
"""

# By kind of number where they differ: f for floating ones, i for others; {0}, {1} and {2} are the
# arguments, @ is the type.
_TEXTS: Final = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    "positive": "{0}",
    "conjugate": "{0}",
    "square": "{0} * {0}",
    "reciprocal": "(@)1 / {0}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "maximum": "greater_of<@>({0}, {1})",
    "minimum": "less_of<@>({0}, {1})",
    "fmax": "{0} >= {1} || {1} != {1} ? {0} : {1}",
    "fmin": "{0} <= {1} || {1} != {1} ? {0} : {1}",
    "sign": "sign_of<@>({0})",
    "absolute-f": "fabs({0})",
    "absolute-i": "{0} < 0 ? -{0} : {0}",
    "absolute-u": "{0}",
    "bitwise_and": "{0} & {1}",
    "bitwise_or": "{0} | {1}",
    "bitwise_xor": "{0} ^ {1}",
    "invert": "~{0}",
    "invert-b": "!{0}",
    "left_shift": "left_shift<@>({0}, {1})",
    "right_shift": "right_shift<@>({0}, {1})",
    "floor_divide": "int_floor_divide<@>({0}, {1})",
    "floor_divide-f": "float_floor_divide<@>({0}, {1})",
    "remainder": "int_remainder<@>({0}, {1})",
    "remainder-f": "float_remainder<@>({0}, {1})",
    "fmod": "int_fmod<@>({0}, {1})",
    "fmod-f": "fmod({0}, {1})",
    "logical_and": "{0} && {1}",
    "logical_or": "{0} || {1}",
    "logical_xor": "{0} != {1}",
    "logical_not": "!{0}",
    "add-b": "{0} || {1}",
    "multiply-b": "{0} && {1}",
    "maximum-b": "{0} || {1}",
    "minimum-b": "{0} && {1}",
    "absolute-b": "{0}",
    "isnan": "{0} != {0}",
    "isinf": "fabs({0}) == (@)INFINITY",
    "isfinite": "fabs({0}) < (@)INFINITY",
    "signbit": "signbit({0}) != 0",
    "power": "pow({0}, {1})",
    "arctan2": "atan2({0}, {1})",
    "copysign": "copysign({0}, {1})",
    "hypot": "hypot({0}, {1})",
    "arcsin": "asin({0})",
    "arccos": "acos({0})",
    "arctan": "atan({0})",
    "arcsinh": "asinh({0})",
    "arccosh": "acosh({0})",
    "arctanh": "atanh({0})",
    "where": "{0} ? {1} : {2}",
    # Of a reduction both sides are always looked at: other threads may wait for it.
    "sum": "{0} + {1}",
    "prod": "{0} * {1}",
    "max": "greater_of<@>({0}, {1})",
    "max-b": "{0} | {1}",
    "min-b": "{0} & {1}",
    "min": "less_of<@>({0}, {1})",
    "all": "{0} & {1}",
    "any": "{0} | {1}",
}
_SAME: Final = "sqrt exp exp2 expm1 log log2 log10 log1p cbrt floor ceil trunc rint"
_TEXTS_OF_SAME: Final = {name: f"{name}({{0}})" for name in _SAME.split()}
_TRIGONOMETRIC: Final = {n: f"{n}({{0}})" for n in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}
TEXTS: Final = {**_TEXTS, **_TEXTS_OF_SAME, **_TRIGONOMETRIC}


def kind_of(dtype: str) -> str:
    """b, i, u or f."""
    return {"b": "b", "i": "i", "u": "u"}.get(dtype[0], "f") if dtype != "bfloat16" else "f"


def combined(name: str, loop: str, *arguments: str) -> str:
    """A function of one element, or one turn of a reduction, in the dtype `loop`."""
    text = TEXTS.get(f"{name}-{kind_of(loop)}") or TEXTS[name]
    return text.replace("@", VARIABLES[loop]).format(*arguments)


def expression(step: Step, *arguments: str) -> str:
    """A step of one element, as a number of its variable's type."""
    value = step.value.dtype
    if step.name == "literal":
        return literal(step.text, value)
    if step.name == "astype":
        return converted(arguments[0], step.loop, value)
    text = combined(step.name, step.loop, *arguments)
    if value in NARROW:
        return f"round_{value}({text})"
    return f"({VARIABLES[value]})({text})"


def converted(text: str, source: str, target: str) -> str:
    """A number as one of another type."""
    if source == target:
        return text
    if target == "bool":
        return f"{text} != 0"
    if target == "float16":
        return f"round_float16({text if source == 'float64' else f'(float)({text})'})"
    if target == "bfloat16":
        return f"round_bfloat16((float)({text}))"
    kind, width = kind_of(target), int(target.lstrip("uintfloabc") or 8)
    if kind in "iu" and kind_of(source) == "f" and width <= 32:
        # What is out of range wraps around, as far as a wider integer holds it.
        through = "long long" if target == "uint32" else "int"
        return f"({VARIABLES[target]})({through})({text})"
    return f"({VARIABLES[target]})({text})"


def literal(text: str, dtype: str) -> str:
    """A number that is known."""
    if dtype == "bool":
        return text.lower()
    if kind_of(dtype) == "f":
        number = float(text)
        suffix = "" if dtype == "float64" else "f"
        if math.isnan(number):
            return f"({VARIABLES[dtype]})NAN"
        if math.isinf(number):
            return f"({VARIABLES[dtype]}){'-' if number < 0 else ''}INFINITY"
        return f"({number!r}{suffix})" if suffix == "" else f"({_exact(number)})"
    number_text = f"{text}LL" if dtype != "uint64" else f"{text}ULL"
    if text == str(-(1 << 63)):
        number_text = "(-9223372036854775807LL - 1)"
    return f"(({VARIABLES[dtype]}){number_text})"


def _exact(number: float) -> str:
    """A float as C reads it, to the bit: it is rounded once, from the nearest double."""
    return f"(float){number!r}"


# Where a reduction begins.
def neutral(name: str, dtype: str) -> str:
    """What changes nothing in a reduction."""
    if name == "sum":
        return literal("0" if kind_of(dtype) != "f" else "-0.0", dtype)
    if name == "prod":
        return literal("1", dtype)
    if name in ("all", "any"):
        return str(name == "all").lower()
    if dtype == "bool":
        return str(name == "min").lower()
    if kind_of(dtype) == "f":
        return literal("-inf" if name == "max" else "inf", dtype)
    bits, signed = int(dtype.lstrip("uint")), kind_of(dtype) == "i"
    least = -(1 << (bits - 1)) if signed else 0
    most = (1 << (bits - signed)) - 1
    return literal(str(least if name == "max" else most), dtype)
