"""Toy ops, so that the tests of the graph need no op family but the constants."""

import pytest


def _matmul(op):
    from tfsession.graph import shape_fns  # noqa: PLC0415

    a, b = (shape_fns.with_rank(tensor._shape, 2) for tensor in op.inputs)
    if op.attrs["transpose_a"]:
        a = a[::-1]
    shape_fns.merge_dims(a[1], b[0])
    return [(a[0], b[1])]


def _reshape(op):
    from tfsession.graph.constant_value import constant_shape  # noqa: PLC0415

    shape = constant_shape(op.inputs[1])
    if shape is not None and len(shape) > 2:
        raise ValueError("Too many dimensions")
    return [shape]


def _pad(op):
    from tfsession.graph.constant_value import constant_value  # noqa: PLC0415

    value = constant_value(op.inputs[1])
    if value is not None and (value < 0).any():
        raise ValueError("Paddings must be non-negative")
    return [None]


@pytest.fixture(scope="session", autouse=True)
def toy_ops():
    from tfsession.core.op_def import define_op, ops  # noqa: PLC0415
    from tfsession.graph import shape_fns  # noqa: PLC0415

    if "ToyNeg" in ops:
        return
    numbers = "T: {half, float, double, int32, int64}"
    define_op(
        "ToyInput",
        outputs=["output: dtype"],
        attrs=["dtype: type", "shape: shape = { unknown_rank: true }"],
        shape=lambda op: [op.attrs["shape"]],
    )
    define_op("ToyNothing")
    define_op("ToyNeg", ["x: T"], ["y: T"], [numbers], shape_fns.same_as(0))
    define_op("ToyAdd", ["x: T", "y: T"], ["z: T"], [numbers], shape_fns.broadcast)
    define_op(
        "ToyMatMul",
        ["a: T", "b: T"],
        ["c: T"],
        ["transpose_a: bool = false", numbers],
        _matmul,
    )
    define_op("ToyNot", ["x: bool"], ["y: bool"])
    define_op("ToySum", ["inputs: N * T"], ["sum: T"], ["N: int >= 1", numbers])
    define_op("ToyPairs", ["a: N * int32", "b: N * T"], ["c: T"], ["N: int >= 1", "T: type"])
    define_op("ToyJoin", ["inputs: N * string"], ["output: string"], ["N: int >= 1"])
    define_op("ToyMany", ["input: T"], ["output: T"], ["T: list(type) >= 1"])
    define_op(
        "ToySplit",
        ["axis: int32", "value: T"],
        ["output: num_split * T"],
        ["num_split: int >= 1", "T: type"],
    )
    define_op(
        "ToyVariable",
        outputs=["ref: Ref(dtype)"],
        attrs=["dtype: type", "container: string = ''"],
        stateful=True,
    )
    define_op("ToyAssign", ["ref: Ref(T)", "value: T"], ["output_ref: Ref(T)"], ["T: type"])
    define_op("ToyReshape", ["x: T", "shape: S"], ["y: T"], ["T: type", _INDEX], _reshape)
    define_op("ToyPad", ["x: T", "paddings: S"], ["y: T"], ["T: type", _INDEX], _pad)
    define_op(
        "ToyAttrs",
        ["x: T"],
        ["y: T"],
        [
            *("T: type", "i: int >= 1 = 1", "f: float = 0.5", "b: bool = true"),
            *("s: string = ''", "choice: {'SAME', 'VALID'} = 'SAME'", "shape: shape = [2, -1]"),
            *("t: {int32, int64} = DT_INT32", "ints: list(int) >= 2 = [1, 1]"),
            *("types: list(type) = []", "shapes: list(shape) = []", "value: tensor = int32 7"),
        ],
        lambda op: shape_fns.with_rank(op.inputs[0]._shape, 3) and [None],
    )
    define_op("ToyNeeds", attrs=["dtype: type", "value: tensor", "n: int", "choice: {'A', 'B'}"])
    for name in ("Enter", "NextIteration"):
        if name not in ops:
            define_op(name, ["data: T"], ["output: T"], ["T: type"], shape_fns.same_as(0))
    if "Merge" not in ops:
        define_op(
            "Merge",
            ["inputs: N * T"],
            ["output: T", "value_index: int32"],
            ["T: type", "N: int >= 1"],
        )


_INDEX = "S: {int32, int64} = DT_INT32"
