"""What a kernel over traced arrays computes is noted as a program that gives the kernel's bits."""

import numpy as np
import pytest
from programs import computed

from tfsession.core.dtypes import as_dtype
from tfsession.core.op_def import ops
from tfsession.core.rules import kernels
from tfsession.devices.program import DTYPES, FUNCTIONS, Value
from tfsession.devices.traced import TRACED, Untraceable, dtype_named, traced_program

ATTRS = {
    "Truncate": False,
    "data_format": b"NHWC",
    "alpha": 0.25,
    "tolerance": 0.5,
    "incompatible_shape_error": True,
}
DTYPES_HERE = ("float32", "bfloat16", "float16", "float64", "int32", "uint8", "bool")


def _numbers(dtype, shape, seed):
    random = np.random.default_rng(seed)
    if dtype == np.bool_:
        return random.random(shape) < 0.5
    if dtype.kind in "iu":
        return random.integers(0, 100, shape).astype(dtype)
    values = random.normal(size=shape).astype(np.float32) * 2
    values.flat[:4] = [0.0, -0.0, np.nan, np.inf][: values.size]
    return values.astype(dtype)


def _cases():
    for name in sorted(kernels.names()):
        for number, kernel in enumerate(kernels[name]):
            if not kernel.elementwise or kernel.device == "CPU":
                continue
            attrs = ops[name].attrs
            allowed = [kernel.types.get("T"), kernel.types.get("SrcT")]
            allowed += [attrs[attr].allowed for attr in ("T", "SrcT") if attr in attrs]
            for dtype in DTYPES_HERE if {"T", "SrcT"} & set(attrs) else ("bool",):
                if all(given is None or as_dtype(dtype) in given for given in allowed):
                    yield pytest.param(name, number, dtype, id=f"{name}-{number}-{dtype}")


def _function(name, number, dtype):
    """A kernel as a function of `xp` and the arrays, and how many it takes."""
    kernel = kernels[name][number]
    attrs = ATTRS | {"T": as_dtype(dtype), "SrcT": as_dtype(dtype), "Tout": as_dtype("complex64")}
    attrs["DstT"] = sorted(kernel.types.get("DstT", [as_dtype("int8")]), key=str)[0]
    bound = {name: attrs[name] for name in kernel.keywords(ops[name])}
    count = 3 if name in ("AddN", "AccumulateNV2") else len(ops[name].inputs)
    if kernel.ufunc is not None:
        return lambda xp, *arrays: getattr(xp, kernel.ufunc)(*arrays), count
    return lambda xp, *arrays: kernel.function(xp, *arrays, **bound), count


# What looks at elements, or is of complex numbers.
UNTRACED = {
    *("Angle", "Complex", "Imag", "Conj", "NextAfter", "Polygamma", "Zeta"),
    *("Div-int32", "FloorDiv-int32", "FloorMod-int32", "Mod-int32", "Pow-int32"),
    *("TruncateDiv-int32", "TruncateMod-int32", "Div-uint8", "FloorDiv-uint8", "FloorMod-uint8"),
    *("TruncateDiv-uint8", "Pow-uint8"),
}


@pytest.mark.parametrize(("name", "number", "dtype"), list(_cases()))
def test_programs_of_kernels_give_their_bits(name, number, dtype):
    function, count = _function(name, number, dtype)
    shapes = [(6, 5)] * count
    if kernels[name][number].elementwise == "bias":
        shapes[1] = (5,)
    numbers = [_numbers(dtype_named(dtype), shape, seed) for seed, shape in enumerate(shapes)]
    if name.startswith("Select"):
        numbers[0] = _numbers(np.dtype(bool), shapes[0], 9)
    values = [Value(array.dtype.name, array.shape) for array in numbers]
    with np.errstate(all="ignore"):
        try:
            wanted = function(np, *numbers)
        except TypeError:
            pytest.skip("no kernel of this dtype")
        try:
            program = traced_program(lambda *arrays: [function(TRACED, *arrays)], values)
        except Untraceable:
            assert name in UNTRACED or f"{name}-{dtype}" in UNTRACED or wanted.dtype.kind in "cV"
            return
    (found,) = computed(program, *numbers)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    if wanted.dtype.kind == "V":
        found, wanted = found.astype("f4"), wanted.astype("f4")
    np.testing.assert_array_equal(found, wanted)
    assert all(step.value.dtype in DTYPES for step in program.steps)


def _traced(function, *shapes, dtype="float32"):
    return traced_program(lambda *a: [function(TRACED, *a)], [Value(dtype, s) for s in shapes])


def _softmax(xp, x):
    shifted = xp.exp(x - x.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def _layer_norm(xp, x, gain):
    mean = xp.mean(x, axis=1)[:, None]
    centred = x - mean
    return centred / xp.sqrt((centred * centred).mean(1, keepdims=True) + np.float32(1e-5)) * gain


def _written(xp, x, y):
    out = xp.empty_like(x)
    xp.add(x, y, out=out)
    same = out.reshape(out.shape)
    same *= xp.float32(2)
    out[...] = xp.where(out > 1, out, 0.0)
    out += out.reshape(1, 3, 4).sum(axis=1)
    return out


@pytest.mark.parametrize(
    ("function", "shapes"),
    [(_softmax, [(3, 4)]), (_layer_norm, [(3, 4), (4,)]), (_written, [(3, 4), (4,)])],
)
def test_reductions_views_and_what_is_written_in_place(function, shapes):
    arrays = [_numbers(np.dtype("f4"), (9, *shape), 3)[5] for shape in shapes]
    wanted = function(np, *arrays)
    (found,) = computed(_traced(function, *shapes), *arrays)
    np.testing.assert_array_equal(found, wanted)


def test_equal_steps_are_noted_once_and_unread_ones_not_at_all():
    def twice(xp, x):
        xp.exp(x)
        return xp.tanh(x) + xp.tanh(x)

    assert [step.name for step in _traced(twice, (3,)).steps] == ["tanh", "add"]


def test_what_is_known_is_computed_at_once():
    program = _traced(lambda xp, x: x * xp.sqrt(xp.full((), 4.0, "float32")), (3,))
    assert [(step.name, step.text) for step in program.steps][:1] == [("literal", "2.0")]


@pytest.mark.parametrize(
    "function",
    [
        lambda xp, x: x if x[0] > 0 else -x,
        lambda xp, x: x if xp.all(x) else -x,
        lambda xp, x: x[1:],
        lambda xp, x: x.T,
        lambda xp, x: xp.empty_like(x) + x,
        lambda xp, x: x * np.ones(3, "f4"),
        lambda xp, x: xp.cumsum(x),
        lambda xp, x: x.astype("complex64"),
        lambda xp, x: np.asarray(x),
        lambda xp, x: float(x.sum()),
        lambda xp, x: xp.add(x, 1.0, out=xp.empty_like(x, "int32")),
    ],
)
def test_what_no_program_can_say_is_refused(function):
    with pytest.raises((Untraceable, AttributeError)):
        _traced(function, (3,))


def test_every_function_of_programs_is_a_ufunc_or_a_step():
    others = {name for name in FUNCTIONS if not isinstance(getattr(np, name, None), np.ufunc)}
    assert others == {"where", "astype"}
