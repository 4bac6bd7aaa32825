"""What is generated in tests: functions of arrays, as kernels are, and arrays for them."""

import ml_dtypes
import numpy as np

from tfsession.devices.program import DTYPES, FUNCTIONS, Value
from tfsession.devices.traced import TRACED, Untraceable, dtype_named, traced_program

BFLOAT16 = ml_dtypes.bfloat16


def numbers(shape, dtype="float32", seed=0):
    """Numbers of all kinds: zeros of both signs, infinities, NaN; of integers, the ends."""
    random = np.random.default_rng([seed, *shape])
    dtype = dtype_named(dtype)
    size = int(np.prod(shape))
    if dtype == np.bool_:
        return (random.random(size) < 0.5).reshape(shape)
    if dtype.kind in "iu":
        ends = np.iinfo(dtype)
        values = random.integers(-20 if ends.min else 0, 100, size).astype(dtype)
        odd = [0, ends.min, ends.max, 1]
    else:
        values = (random.normal(size=size) * 3).astype(dtype)
        odd = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, 0.5, -2.5, 1e-6]
    places = random.permutation(size)[: min(size // 3, 3 * len(odd))]
    values[places] = np.resize(np.array(odd, dtype), len(places))
    return values.reshape(shape)


def plain(shape, dtype="float32", seed=0):
    """Numbers without infinities, for sums."""
    random = np.random.default_rng([seed, *shape])
    if dtype_named(dtype).kind in "biu":
        return random.integers(0, 3, shape).astype(dtype)
    return random.normal(size=shape).astype(np.float32).astype(dtype_named(dtype))


def program_of(function, *arrays):
    """What a function over `xp` computes of arrays like these."""
    values = [Value(array.dtype.name, array.shape) for array in arrays]

    def traced(*inputs):
        results = function(TRACED, *inputs)
        return results if isinstance(results, list | tuple) else [results]

    return traced_program(traced, values)


# --- each function alone, on every dtype ----------------------------------------------------------


def _kinds(name):
    return FUNCTIONS[name].replace("f", "fV")


def single_functions():
    """(name, dtype, program, inputs) of each function that programs may call."""
    for name in sorted(FUNCTIONS):
        for dtype in sorted(DTYPES):
            if dtype_named(dtype).kind not in _kinds(name):
                continue
            count = 3 if name == "where" else 1 if name == "astype" else getattr(np, name).nin
            arrays = [numbers((7, 31), dtype, seed) for seed in range(count)]
            if name == "where":
                arrays[0] = numbers((7, 31), "bool")
            if name in ("left_shift", "right_shift"):
                arrays[1] = plain((7, 31), dtype) * 9
            if name == "astype":
                # What is out of range is what each machine makes of it.
                arrays = [plain((7, 31), dtype) * arrays[0].dtype.type(1)]
                function = _all_casts
            else:

                def function(xp, *inputs, name=name):
                    return getattr(xp, name)(*inputs)

            try:
                program = program_of(function, *arrays)
            except Untraceable:
                continue
            yield name, dtype, program, arrays


def _all_casts(xp, x):
    if x.dtype.kind in "biu":
        return [x.astype(dtype_named(dtype)) for dtype in sorted(DTYPES)]
    size = abs(x)
    return [(x if dtype[0] != "u" else size).astype(dtype_named(dtype)) for dtype in sorted(DTYPES)]


# --- shapes ---------------------------------------------------------------------------------------


def _mixed(xp, x, y):
    return [xp.maximum(x + y, 0.0) * x, x > y]


def _chain(xp, x, y, z):
    return xp.where(z, (x - y) * (x - y), xp.minimum(x, y) / 2.0)


def shapes():
    """(name, function, inputs) of element-wise groups over all ways in which arrays may lie."""
    f = numbers
    yield "same", _mixed, [f((6, 40)), f((6, 40), seed=1)]
    yield "tail", _mixed, [f((1003,)), f((1003,), seed=1)]
    yield "bias", _mixed, [f((9, 24)), f((24,))]
    yield "odd bias", _mixed, [f((9, 23)), f((23,))]
    yield "column", _mixed, [f((9, 24)), f((9, 1))]
    yield "outer", _mixed, [f((9, 1)), f((1, 24))]
    yield "scalar", _mixed, [f((9, 24)), f(())]
    yield "both scalars", _mixed, [f(()), f((), seed=1)]
    yield "middle", _mixed, [f((3, 5, 8)), f((3, 1, 8))]
    yield "four axes", _mixed, [f((2, 3, 4, 5)), f((3, 1, 5))]
    yield "rank", _mixed, [f((1, 1, 7)), f((7,))]
    yield "transposed", _mixed, [f((12, 9)).T, f((9, 12))]
    yield "strided", _mixed, [f((9, 48))[:, ::2], f((9, 24))]
    yield "rows apart", _mixed, [f((18, 24))[::2], f((9, 24))]
    yield "backwards", _mixed, [f((9, 24))[::-1, ::-1], f((24,))]
    yield "not aligned", _mixed, [f((9 * 24 + 1,))[1:].reshape(9, 24), f((24,))]
    yield "of all types", _chain, [f((9, 24)), f((9, 24), "float16"), f((9, 24), "bool")]
    yield "narrow", _mixed, [f((5, 64), "bfloat16"), f((64,), "bfloat16")]
    yield "wide", _mixed, [f((5, 64), "float64"), f((5, 1), "int32")]
    yield "bytes", lambda xp, x, y: x + y * y, [f((5, 80), "uint8"), f((80,), "uint8")]
    yield "many turns", _mixed, [f((700, 3000)), f((3000,))]
    yield "copies", lambda xp, x, y: [x, y, x + y], [f((6, 8)), f((6, 8), "int8")]


# --- reductions -----------------------------------------------------------------------------------


def softmax(xp, x):
    """Along the last axis."""
    powers = xp.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _softmax_of_halves(xp, x):
    return softmax(xp, x.astype("float32")).astype(x.dtype)


def layer_norm(xp, x, gain, bias):
    """Along the last axis."""
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    spread = xp.mean(centred * centred, axis=-1, keepdims=True)
    return centred / xp.sqrt(spread + np.float32(1e-5)) * gain + bias


def layer_norm_gradients(xp, x, gain, dy):
    """Those of the input, the gain and the bias."""
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    scale = 1.0 / xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + np.float32(1e-5))
    normal = centred * scale
    slope = dy * gain
    inner = slope - xp.mean(slope, axis=-1, keepdims=True)
    inner -= normal * xp.mean(slope * normal, axis=-1, keepdims=True)
    return [inner * scale, (dy * normal).sum(axis=0), dy.sum(axis=0)]


def cross_entropy(xp, logits, labels):
    """Losses of rows, their mean, and the gradient."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = xp.exp(shifted).sum(axis=1, keepdims=True)
    loss = (labels * (xp.log(total) - shifted)).sum(axis=1)
    return [loss, xp.mean(loss), xp.exp(shifted) / total - labels]


def sparse_cross_entropy(xp, logits, labels):
    """Losses of rows, and the gradient."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    powers = xp.exp(shifted)
    total = powers.sum(axis=1, keepdims=True)
    is_label = xp.arange(logits.shape[1], dtype=labels.dtype)[None] == labels[:, None]
    own = xp.where(is_label, shifted, 0.0).sum(axis=1)
    return [xp.log(total)[:, 0] - own, powers / total - is_label.astype(logits.dtype)]


def _places(xp, x):
    rows, columns = xp.arange(x.shape[0], dtype="int32"), xp.arange(x.shape[1])
    lower = rows[:, None] >= columns
    return [xp.where(lower, x, 0.0), lower.astype("float32").sum(axis=0), columns + columns]


def _halves(xp, x):
    total = x.astype("float32").sum(axis=-1).astype(x.dtype)
    return [total, x.max(axis=0), x - x.max(axis=-1, keepdims=True)]


def _both(xp, x):
    return [x.sum(axis=0), x.sum(axis=1), x.max(), xp.sqrt((x * x).sum())]


def _every(xp, x):
    return [getattr(x, name)(axis=1) for name in ("sum", "prod", "max", "min")]


def _logic(xp, x):
    return [(x > 0).all(axis=0), (x > 0).any(axis=1), (x > 9).any(), (x < 9).all()]


def _axes(xp, x):
    return [x.sum(axis=(0, 2)), x.sum(axis=(1, 2)), x.max(axis=1), x.sum(axis=(0, 1)), x.sum()]


def _batch_norm(xp, x):
    mean = xp.mean(x, axis=(0, 1, 2))
    centred = x - mean
    spread = xp.mean(centred * centred, axis=(0, 1, 2))
    return [centred / xp.sqrt(spread + np.float32(1e-3)), mean, spread]


def _other_rows(xp, x):
    # The sums stand along the other axis than that of their rows.
    return x * x.sum(axis=1)


def reductions():
    """(name, function, inputs) of reductions with what stands before and behind them."""
    f = plain
    for columns in (1, 5, 32, 100, 1000, 1024, 3000, 5001, 20000):
        yield f"softmax of {columns}", softmax, [f((5, columns))]
    yield (
        "softmax of halves",
        lambda xp, x: softmax(xp, x.astype("float32")),
        [f((5, 64), "float16")],
    )
    yield "softmax of doubles", softmax, [f((70, 66), "float64")]
    yield "softmax of columns", softmax, [f((40, 24)).T]
    yield "softmax of rows apart", softmax, [f((6, 5, 40)).transpose(1, 0, 2)]
    yield "softmax of infinities", softmax, [numbers((9, 40))]
    for shape in ((6, 512), (3, 7, 50), (2, 2048)):
        yield f"layer norm of {shape}", layer_norm, [f(shape), f(shape[-1:], seed=1), f(shape[-1:])]
    yield (
        "layer norm, gradients",
        layer_norm_gradients,
        [f((40, 128)), f((128,)), f((40, 128), seed=1)],
    )
    yield "cross-entropy", cross_entropy, [f((30, 10)), abs(f((30, 10), seed=2))]
    yield "cross-entropy, wide", cross_entropy, [f((4, 5000)), abs(f((4, 5000), seed=2))]
    for columns in (10, 64, 5001, 20000):
        labels = np.arange(4, dtype="int32") * (columns // 4)
        yield f"labels of {columns}", sparse_cross_entropy, [f((4, columns)), labels]
    yield "places", _places, [f((40, 24))]
    yield "halves", _halves, [f((12, 96), "float16")]
    yield "bfloat16", _halves, [f((12, 96), "bfloat16")]
    yield "both", _both, [f((70, 90))]
    yield "both of a long one", _both, [f((3000, 40))]
    yield "both of a wide one", _both, [f((3, 30000))]
    yield "every", _every, [f((9, 40), "int32")]
    yield "every of bytes", _every, [f((9, 40), "uint8")]
    yield "every of doubles", _every, [numbers((9, 40), "float64")]
    yield "logic", _logic, [numbers((30, 70))]
    yield "axes", _axes, [f((5, 6, 7))]
    yield "axes of a long one", _axes, [f((40, 9, 700))]
    yield "batch norm", _batch_norm, [f((4, 8, 8, 5))]
    yield "other rows", _other_rows, [f((33, 33))]
    yield "all of one", lambda xp, x: [x.sum(), x.max(axis=1)], [f((1, 1))]
    yield "variance", lambda xp, x: xp.mean((x - xp.mean(x)) * (x - xp.mean(x))), [f((300, 700))]
    yield "of a column", lambda xp, x, y: (x * y).sum(axis=1), [f((9, 40)), f((9, 1))]
    yield "of what is broadcast", lambda xp, x, y: (x + y).sum(axis=0), [f((9, 1)), f((1, 40))]


# --- at random ------------------------------------------------------------------------------------

_SINGLE = ("negative", "absolute", "square", "exp", "tanh", "sign", "floor")
_DOUBLE = ("add", "subtract", "multiply", "maximum", "minimum", "less", "equal")
_REDUCED = ("sum", "max", "min", "all")


def _random_function(random, count):
    """A function of so many arrays, of some element-wise steps and reductions between them."""
    turns = [random.random(4) for _ in range(random.integers(3, 9))]

    def function(xp, *inputs):
        values = list(inputs)
        for kind, first, second, third in turns:
            x = values[int(first * len(values))]
            if kind < 0.3:
                wide = x if x.dtype.kind in "fV" else x.astype("float32")
                values.append(getattr(xp, _SINGLE[int(third * len(_SINGLE))])(wide))
            elif kind < 0.75 or not x.ndim:
                y = values[int(second * len(values))]
                x, y = (
                    a.astype("float32") if a.dtype != x.dtype or a.dtype == bool else a
                    for a in (x, y)
                )
                values.append(getattr(xp, _DOUBLE[int(third * len(_DOUBLE))])(x.astype(y.dtype), y))
            else:
                wide = x.astype("float64") if x.dtype.kind != "i" else x
                axes = [axis for axis in range(x.ndim) if (int(second * 99) >> axis) % 2]
                reduce = getattr(wide, _REDUCED[int(third * len(_REDUCED))])
                values.append(reduce(axis=tuple(axes) or None, keepdims=True))
        made = values[count:]
        return [
            made[-1],
            *[value for value, turn in zip(made, turns, strict=True) if turn[3] < 0.3],
        ]

    return function


def at_random(seeds):
    """(name, function, inputs) of random groups, over random shapes and dtypes."""
    for seed in seeds:
        random = np.random.default_rng(seed)
        full = [int(size) for size in random.choice([1, 2, 3, 7, 16, 40], random.integers(1, 4))]
        arrays = []
        for number in range(random.integers(1, 4)):
            shape = [size if random.random() < 0.7 else 1 for size in full]
            dtype = random.choice(["float32", "float32", "float16", "bfloat16", "float64", "int32"])
            array = plain(shape[random.integers(0, 2) :] if number else full, dtype, seed)
            arrays.append(array)
        yield f"random {seed}", _random_function(random, len(arrays)), arrays
