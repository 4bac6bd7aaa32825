"""TensorArray: tensors by number, written and read one by one, in loops above all.

What is written is kept for the step only. The value `flow` goes from each operation that writes to
those that come after it; nobody looks at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tfsession.core import shape as shape_lib
from tfsession.core.dtypes import DType, as_dtype, int32, int64
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, TensorShape, as_shape
from tfsession.graph.composite import register_composite_type
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import (
    input_rank,
    merge_dims,
    no_outputs,
    scalar,
    with_rank_at_least,
)
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import identity
from tfsession.ops.sequence import range_
from tfsession.ops.shape import shape as shape_of

# --- definitions ----------------------------------------------------------------------------------

_PASSES = frozenset({"Enter", "Exit", "Identity", "Merge", "NextIteration", "Switch"})


def _declared_shape(handle: Tensor) -> Shape:
    """The shape that the elements of an array are to have, as far as its operation says."""
    seen: set[Operation] = set()
    op = handle.op
    while op.type in _PASSES or op.type == "TensorArrayGradV3":
        if op in seen:
            return None
        seen.add(op)
        op = op.inputs[0].op
    return op.attrs["element_shape"] if op.type == "TensorArrayV3" else None


def _made(op: Operation) -> list[Shape]:
    input_rank(op, 0, 0)
    return [(2,), ()]


def _made_for_gradients(op: Operation) -> list[Shape]:
    return [(2,), ()]


def _flow(op: Operation) -> list[Shape]:
    input_rank(op, 1, 0)
    return [()]


def _one(op: Operation) -> list[Shape]:
    input_rank(op, 1, 0)
    return [_declared_shape(op.inputs[0])]


def _several(op: Operation) -> list[Shape]:
    indices = input_rank(op, 1, 1)
    shape = _declared_shape(op.inputs[0])
    return [None if shape is None else (None if indices is None else indices[0], *shape)]


def _scattered(op: Operation) -> list[Shape]:
    indices = input_rank(op, 1, 1)
    value = with_rank_at_least(op.inputs[2]._shape, 1)
    if indices is not None and value is not None:
        merge_dims(value[0], indices[0])
    return [()]


def _joined(op: Operation) -> list[Shape]:
    return [None, (None,)]


def _cut(op: Operation) -> list[Shape]:
    input_rank(op, 2, 1)
    return [()]


_HANDLE, _FLOW_IN, _FLOW_OUT = "handle: resource", "flow_in: float", "flow_out: float"
_ELEMENT = "element_shape: shape = { unknown_rank: true }"

define_op(
    "TensorArrayV3",
    ["size: int32"],
    [_HANDLE, "flow: float"],
    [
        *("dtype: type", _ELEMENT, "dynamic_size: bool = false", "clear_after_read: bool = true"),
        *("identical_element_shapes: bool = false", "tensor_array_name: string = ''"),
    ],
    _made,
    stateful=True,
)
for _name, _inputs, _outputs, _attrs, _shape in (
    ("Read", ["index: int32"], ["value: dtype"], ["dtype: type"], _one),
    ("Write", ["index: int32", "value: T"], [_FLOW_OUT], ["T: type"], _flow),
    ("Gather", ["indices: int32"], ["value: dtype"], ["dtype: type", _ELEMENT], _several),
    ("Scatter", ["indices: int32", "value: T"], [_FLOW_OUT], ["T: type"], _scattered),
    (
        *("Concat", [], ["value: dtype", "lengths: int64"]),
        ["dtype: type", _ELEMENT.replace("shape:", "shape_except0:", 1)],
        _joined,
    ),
    ("Split", ["value: T", "lengths: int64"], [_FLOW_OUT], ["T: type"], _cut),
    ("Size", [], ["size: int32"], [], scalar),
    (
        *("Grad", [], ["grad_handle: resource", _FLOW_OUT]),
        *(["source: string"], _made_for_gradients),
    ),
):
    define_op(
        f"TensorArray{_name}V3",
        [_HANDLE, *_inputs, _FLOW_IN],
        _outputs,
        _attrs,
        _shape,
        stateful=True,
    )
define_op("TensorArrayCloseV3", [_HANDLE], shape=no_outputs, stateful=True)


# --- the class ------------------------------------------------------------------------------------


@export("TensorArray")
class TensorArray:
    """Tensors of one dtype, by number from 0 on.

    Each method that writes gives a new TensorArray, to be used from then on: it comes after the
    write. Elements lie in the memory of the device on which they were written.

    Args:
        dtype: of the elements.
        size: how many there are, an int32 scalar; not with `handle`.
        dynamic_size: let the array grow when more are written.
        clear_after_read: drop elements once they are read, so that each can be read once; the
            default.
        tensor_array_name: what errors call it.
        handle, flow: those of an array that is there already.
        infer_shape: whether all elements have the same shape.
        element_shape: the shape that all elements have, as far as it is known. Elements that were
            not written are zeros where it is fully known.
        colocate_with_first_write_call: place it where the first tensor is that is written to it,
            whatever device scopes say.
        name: name scope of the operation.

    Raises:
        ValueError: arguments that do not go together.
        TypeError: `handle` is no tensor.
    """

    def __init__(
        self,
        dtype: Any,
        size: Any = None,
        dynamic_size: bool | None = None,
        clear_after_read: bool | None = None,
        tensor_array_name: str | None = None,
        handle: Any = None,
        flow: Any = None,
        infer_shape: bool = True,
        element_shape: Any = None,
        colocate_with_first_write_call: bool = True,
        name: str | None = None,
    ) -> None:
        self._check_arguments(
            handle, size, tensor_array_name, element_shape, dynamic_size, clear_after_read
        )
        self._dtype: DType = as_dtype(dtype).base_dtype
        self._dynamic_size = bool(dynamic_size)
        self._infer_shape = infer_shape
        self._size = size
        # Shared by all arrays that came from one: what is learned of it with each write.
        self._known_shape: list[TensorShape] = [as_shape(element_shape)]
        self._place: list[Tensor] | None = [] if colocate_with_first_write_call else None
        graph = graph_of([handle, size, flow])
        with graph.as_default(), graph.name_scope(name or "TensorArray") as scope:
            if handle is not None:
                if flow is None:
                    raise ValueError("flow must not be None if handle is not None.")
                self._handle, self._flow = handle, flow
                return
            attrs = {
                "dtype": self._dtype,
                "element_shape": shape_lib.to_shape(element_shape),
                "identical_element_shapes": infer_shape,
                "dynamic_size": self._dynamic_size,
                "clear_after_read": True if clear_after_read is None else clear_after_read,
                "tensor_array_name": tensor_array_name or "",
            }
            if not colocate_with_first_write_call:
                self._handle, self._flow = create_op("TensorArrayV3", [size], attrs, scope)
                return
            with graph.device(None), graph.colocate_with(None, ignore_existing=True):
                self._handle, self._flow = create_op("TensorArrayV3", [size], attrs, scope)

    @staticmethod
    def _check_arguments(
        handle: Any, size: Any, name: Any, element_shape: Any, dynamic: Any, clear: Any
    ) -> None:
        if handle is None:
            if size is None:
                raise ValueError("Argument `size` must be provided if handle is not provided.")
            return
        if name:
            raise ValueError(
                "Cannot provide both `handle` and `tensor_array_name` arguments at the same time."
            )
        if not isinstance(handle, Tensor):
            raise TypeError(
                f"Expected `handle` to be a Tensor, but got `{handle}` of type `{type(handle)}` "
                "instead."
            )
        if size is not None:
            raise ValueError(
                "Cannot provide both a `handle` and `size` arguments at the same time."
            )
        given = {
            "element_shape": element_shape,
            "dynamic_size": dynamic,
            "clear_after_read": clear,
        }
        for argument, value in given.items():
            if value is not None:
                raise ValueError(
                    f"Cannot provide both `handle` and `{argument}` arguments at the same time."
                )

    @property
    def flow(self) -> Tensor:
        """The tensor that comes after all that was written."""
        return self._flow

    @property
    def handle(self) -> Tensor:
        """What stands for the array in operations."""
        return self._handle

    @property
    def dtype(self) -> DType:
        """The dtype of the elements."""
        return self._dtype

    @property
    def dynamic_size(self) -> bool:
        """Whether the array grows when more are written."""
        return self._dynamic_size

    @property
    def element_shape(self) -> TensorShape:
        """The shape of the elements, as far as it is known."""
        return self._known_shape[0]

    def _with_flow(self, flow: Tensor) -> TensorArray:
        """The same array, after something else."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made._flow = flow
        return made

    def _learn_shape(self, shape: TensorShape) -> None:
        if not shape.is_compatible_with(self.element_shape):
            raise ValueError(f"Inconsistent shapes: saw {shape} but expected {self.element_shape} ")
        if self._infer_shape:
            self._known_shape[0] = self.element_shape.merge_with(shape)

    @contextmanager
    def _beside(self, value: Tensor) -> Iterator[None]:
        """Where what writes is placed: with the first value that is written."""
        if self._place is None:
            yield
            return
        if not self._place:
            self._place.append(value)
        with value.graph.colocate_with(self._place[0].op):
            yield

    def identity(self) -> TensorArray:
        """The same array, after what the enclosing `control_dependencies` ask for."""
        return self._with_flow(identity(self._flow))

    def grad(self, source: str, flow: Any = None, name: str | None = None) -> TensorArray:
        """The array in which gradients of the elements are summed, one for each `source`.

        It has the size that this one has when it is first asked for; this one cannot grow then.
        """
        flow = self._flow if flow is None else flow
        graph = self._handle.graph
        with (
            graph.as_default(),
            graph.name_scope(name or "TensorArrayGrad"),
            graph.colocate_with(self._handle.op),
        ):
            inputs, attrs = [self._handle, flow], {"source": source}
            handle, _ = create_op("TensorArrayGradV3", inputs, attrs, name)
            with graph.control_dependencies([handle]):
                flow = identity(flow, "gradient_flow")
            gradients = TensorArray(
                self._dtype,
                handle=handle,
                flow=flow,
                infer_shape=self._infer_shape,
                colocate_with_first_write_call=False,
            )
        gradients._known_shape = self._known_shape
        return gradients

    def read(self, index: Any, name: str | None = None) -> Tensor:
        """Element number `index`, an int32 scalar."""
        inputs = [self._handle, index, self._flow]
        value: Tensor = create_op("TensorArrayReadV3", inputs, {"dtype": self._dtype}, name)
        value.set_shape(self.element_shape)
        return value

    def write(self, index: Any, value: Any, name: str | None = None) -> TensorArray:
        """Let a tensor be element number `index`, which must not have been written.

        Raises:
            ValueError: it has not the shape that elements have.
        """
        graph = self._handle.graph
        with graph.as_default(), graph.name_scope(name or "TensorArrayWrite"):
            value = convert_to_tensor(value, name="value", preferred_dtype=self._dtype)
            self._learn_shape(value.shape)
            with self._beside(value):
                inputs = [self._handle, index, value, self._flow]
                return self._with_flow(create_op("TensorArrayWriteV3", inputs, None, name))

    def stack(self, name: str | None = None) -> Tensor:
        """All elements, along a new first dimension; their shapes must be equal."""
        graph = self._handle.graph
        with (
            graph.as_default(),
            graph.colocate_with(self._handle.op),
            graph.name_scope(name or "TensorArrayStack"),
        ):
            value = self.gather(range_(0, self.size()), name)
            if self.element_shape and not self._dynamic_size and self._size is not None:
                size = self._size
                if isinstance(size, Tensor):
                    size = constant_value(size)
                value.set_shape([None if size is None else int(size), *self.element_shape])
            return value

    def gather(self, indices: Any, name: str | None = None) -> Tensor:
        """The elements of these numbers, along a new first dimension."""
        attrs = {"dtype": self._dtype, "element_shape": self.element_shape._dims}
        inputs = [self._handle, indices, self._flow]
        value: Tensor = create_op("TensorArrayGatherV3", inputs, attrs, name)
        if self.element_shape:
            value.set_shape([None, *self.element_shape])
        return value

    def concat(self, name: str | None = None) -> Tensor:
        """All elements, one behind the other along their first dimension."""
        shape = self.element_shape
        attrs = {"dtype": self._dtype, "element_shape_except0": shape[1:]._dims}
        value: Tensor
        value, _ = create_op("TensorArrayConcatV3", [self._handle, self._flow], attrs, name)
        if shape:
            rows = None
            if self._infer_shape:
                size = constant_value(self.size())
                first = shape.as_list()[0]
                rows = None if size is None or first is None else int(size) * first
            value.set_shape([rows, *shape.as_list()[1:]])
        return value

    def unstack(self, value: Any, name: str | None = None) -> TensorArray:
        """Write the slices of a tensor along its first dimension."""
        graph = self._handle.graph
        with graph.as_default(), graph.name_scope(name or "TensorArrayUnstack"):
            count = shape_of(value)[0]
            return self.scatter(range_(0, count), value, name)

    def scatter(self, indices: Any, value: Any, name: str | None = None) -> TensorArray:
        """Let the slices of a tensor along its first dimension be the elements of these numbers."""
        graph = self._handle.graph
        with graph.as_default(), graph.name_scope(name or "TensorArrayScatter"):
            value = convert_to_tensor(value, name="value", preferred_dtype=self._dtype)
            self._learn_shape(value.shape[1:])
            with self._beside(value):
                inputs = [self._handle, indices, value, self._flow]
                return self._with_flow(create_op("TensorArrayScatterV3", inputs, None, name))

    def split(self, value: Any, lengths: Any, name: str | None = None) -> TensorArray:
        """Write the parts of a tensor, which have these lengths along its first dimension."""
        graph = self._handle.graph
        with graph.as_default(), graph.name_scope(name or "TensorArraySplit"):
            value = convert_to_tensor(value, self._dtype, name="value")
            with self._beside(value):
                sizes = cast(lengths, int64)
                known = constant_value(sizes)
                if value._shape and known is not None and known.ndim and len(set(known)) == 1:
                    first = TensorShape([int(known[0])])
                    self._learn_shape(first.concatenate(value.shape[1:]))
                inputs = [self._handle, value, sizes, self._flow]
                return self._with_flow(create_op("TensorArraySplitV3", inputs, None, name))

    def size(self, name: str | None = None) -> Tensor:
        """How many elements there are, an int32 scalar."""
        if not self._dynamic_size and self._size is not None:
            return convert_to_tensor(self._size, int32)
        size: Tensor = create_op("TensorArraySizeV3", [self._handle, self._flow], name=name)
        return size

    def close(self, name: str | None = None) -> Operation:
        """Drop all elements; the array is of no use then. A step does so in the end by itself."""
        closed: Operation = create_op("TensorArrayCloseV3", [self._handle], name=name)
        return closed


def _no_value(values: list[Any]) -> Any:
    raise TypeError("A TensorArray has no value: fetch what its method `stack` gives.")


register_composite_type(
    TensorArray,
    lambda array: [array.flow],
    _no_value,
    convert=lambda function, array: array._with_flow(function(array.flow)),
    is_value=False,
)
