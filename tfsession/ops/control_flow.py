"""The primitives of control flow: values that go one way, meet again, and go round in loops."""

from __future__ import annotations

from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import no_outputs, same_as, with_rank


def _both_ways(op: Operation) -> list[Shape]:
    data, pred = op.inputs
    with_rank(pred._shape, 0)
    return [data._shape] * 2


def _one_of_all(op: Operation) -> list[Shape]:
    """What the shapes of all inputs have in common, and a scalar."""
    shapes = [tensor._shape for tensor in op.inputs]
    first = shapes[0]
    if first is None or any(shape is None or len(shape) != len(first) for shape in shapes):
        return [None, ()]
    sizes = zip(*(shape for shape in shapes if shape is not None), strict=True)
    return [tuple(s[0] if len(set(s)) == 1 else None for s in sizes), ()]


def _constant_alone(op: Operation) -> list[Shape]:
    """A loop's own variables may change their shapes; who makes the loop says what stays."""
    return [op.inputs[0]._shape if op.attrs["is_constant"] else None]


def _scalar(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 0)
    return [()]


for _ref in ("", "Ref"):
    _data, _inputs, _output = (
        (f"{name}: Ref({kind})" if _ref else f"{name}: {kind}")
        for name, kind in (("data", "T"), ("inputs", "N * T"), ("output", "T"))
    )
    define_op(
        f"{_ref}Switch",
        [_data, "pred: bool"],
        [_output.replace("output", "output_false"), _output.replace("output", "output_true")],
        ["T: type"],
        _both_ways,
        allows_uninitialized_input=bool(_ref),
    )
    define_op(
        f"{_ref}Merge",
        [_inputs],
        [_output, "value_index: int32"],
        ["T: type", "N: int >= 1"],
        _one_of_all,
    )
    define_op(
        f"{_ref}Enter",
        [_data],
        [_output],
        [
            "T: type",
            "frame_name: string",
            "is_constant: bool = false",
            "parallel_iterations: int = 10",
        ],
        _constant_alone,
    )
    define_op(f"{_ref}Exit", [_data], [_output], ["T: type"], same_as(0))
    define_op(f"{_ref}NextIteration", [_data], [_output], ["T: type"], same_as(0))

define_op("LoopCond", ["input: bool"], ["output: bool"], shape=_scalar)
define_op("ControlTrigger", shape=no_outputs)
