"""Element-wise programs in machine code have the bits of NumPy's operations one after another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsession.devices.program import FUNCTIONS, Call
from tfsession.kernels.elementwise_functions import FUNCTIONS as OWN
from tfsession.kernels.elementwise_loop import function, loop

pytestmark = pytest.mark.llvm

DTYPES = ["bool", "int8", "uint8", "int16", "int32", "int64", "uint32", "float32", "float64"]
# What stays with NumPy, with others of its operation: see `Unwritable`.
LEFT = {
    *("floor_divide", "remainder", "fmod", "left_shift", "right_shift", "signbit", "fmax", "fmin"),
    *("power", "arctan2", "hypot", "exp2", "log2", "log10", "cbrt", "sin", "cos", "tan", "arcsin"),
    *("arccos", "arctan", "sinh", "cosh", "arcsinh", "arccosh", "arctanh"),
}
COMPARED = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}


def kind_of(dtype):
    return np.dtype(dtype).kind


def values(dtype, shape, seed=0):
    """Numbers of a type, among them those at its ends."""
    rng, kind = np.random.default_rng(seed), kind_of(dtype)
    if kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if kind in "iu":
        ends = np.iinfo(dtype)
        found = rng.integers(-9 if kind == "i" else 0, 9, shape).astype(dtype)
        edges = np.array([ends.min, ends.max, 0], dtype)
    else:
        found = rng.normal(0, 2, shape).astype(dtype)
        edges = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-42, 3e38], dtype)
    flat = found.reshape(-1)
    flat[:: max(1, flat.size // 20)] = rng.choice(edges, len(flat[:: max(1, flat.size // 20)]))
    return found


def call(operation, *arguments):
    return Call(lambda xp: lambda *given: operation(xp, *given), arguments)


def bits(value):
    value = np.array(value)
    if value.dtype.kind == "f":
        value[np.isnan(value)] = 0.5
    return value.dtype, value.shape, value.tobytes()


def computed(name, xp, *arguments):
    ufunc = function(xp, name, arguments[0].dtype) if name in OWN else getattr(xp, name)
    return ufunc(*arguments)


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - {"where", "astype", *LEFT}))
def test_operations_have_numpys_bits(name):
    compiled = 0
    for dtype in DTYPES:
        if kind_of(dtype) not in FUNCTIONS[name]:
            continue
        arguments = [values(dtype, 300, seed) for seed in range(getattr(np, name).nin)]
        calls = [call(lambda xp, *given: computed(name, xp, *given), *range(len(arguments)))]
        found = loop(calls, [(a.dtype, "full") for a in arguments], [len(arguments)])
        if found is None:
            assert (name, kind_of(dtype)) in {("sign", "i"), ("sign", "u")} or name in OWN
            continue
        compiled += 1
        with np.errstate(all="ignore"):
            assert bits(found(*arguments)) == bits(computed(name, np, *arguments)), dtype
            for argument in arguments:
                argument[...] = argument[::-1].copy()
            apart = [np.repeat(argument, 2)[::2] for argument in arguments]
            assert bits(found(*apart)) == bits(computed(name, np, *arguments)), dtype
    assert compiled


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_conversions(source, target):
    x = values(source, 200)
    found = loop(
        [call(lambda xp, x: x.astype(target) + x.astype(target), 0)], [(x.dtype, "full")], [1]
    )
    if kind_of(source) == "f" and kind_of(target) in "iu":
        assert found is None  # what is out of range is as the processor has it
        return
    with np.errstate(all="ignore"):
        assert bits(found(x)) == bits(x.astype(target) + x.astype(target))


@settings(max_examples=25)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 70),
    kinds=st.lists(st.sampled_from(["full", "row", "column", "one"]), min_size=2, max_size=3),
    in_place=st.booleans(),
)
def test_programs_of_what_is_broadcast(rows, columns, kinds, in_place):
    shapes = {"full": (rows, columns), "row": (columns,), "column": (rows, 1), "one": ()}
    kinds = ["full", *kinds]
    arguments = [values("float32", shapes[kind], n) for n, kind in enumerate(kinds)]

    def one(xp, x, y):
        return xp.where(x > y, x * y, x - y)

    def two(xp, x, y):
        return xp.sqrt(xp.maximum(x, y)) / (xp.absolute(y) + x.dtype.type(0.5))

    count = len(kinds)
    calls = [call(one, 0, 1), call(two, count, count - 1)]
    found = loop(
        calls, [(a.dtype, k) for a, k in zip(arguments, kinds, strict=True)], [count, count + 1]
    )
    with np.errstate(all="ignore"):
        first = one(np, arguments[0], arguments[1])
        second = two(np, first, arguments[-1])
        if in_place:
            results = found(*arguments, out=(arguments[0], np.empty_like(arguments[0])))
        else:
            results = found(*arguments)
    assert [bits(result) for result in results] == [bits(first), bits(second)]


def test_what_stays_with_numpy():
    x = np.dtype(np.float32)
    for operation in (
        lambda xp, x: xp.sin(x),
        lambda xp, x: x.sum(),
        lambda xp, x: x if bool(x.any()) else -x,
        lambda xp, x: x.astype("float16") * x,
        lambda xp, x: xp.exp(x.astype("float64")),
    ):
        assert loop([call(operation, 0)], [(x, "full")], [1]) is None
    many = [call(lambda xp, *given: sum(given[1:], given[0]), *range(40))]
    assert loop(many, [(x, "full")] * 40, [40]) is None
