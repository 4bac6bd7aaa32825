"""Conditional accumulators: where replicas of a training step gather gradients of one variable."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int64
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, TensorShape
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import input_rank, no_outputs, scalar, unknown
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast

# --- definitions ----------------------------------------------------------------------------------


def _reference_shape(op: Operation) -> list[Shape]:
    """A reference is a vector: container and name."""
    return [(2,)]


def _second_scalar(op: Operation) -> list[Shape]:
    """A number of gradients, or of a step, is a scalar."""
    input_rank(op, 1, 0)
    return [None] * len(op.outputs)


_NUMBER = (
    "dtype: {float, double, int32, uint8, int16, int8, complex64, int64, qint8, quint8, qint32, "
    "bfloat16, qint16, quint16, uint16, complex128, half, uint32, uint64}"
)
_SETTINGS = [
    *(_NUMBER, "shape: shape", "container: string = ''", "shared_name: string = ''"),
    "reduction_type: {'MEAN', 'SUM'} = 'MEAN'",
]

# The first version passes a reference to a string, the second, "Resource...", a resource.
for _version, _handle in (("", "Ref(string)"), ("Resource", "resource")):
    _in, _stateful = f"handle: {_handle}", bool(_version)
    define_op(
        f"{_version}ConditionalAccumulator",
        outputs=[_in],
        attrs=_SETTINGS,
        stateful=True,
        shape=_reference_shape,
    )
    define_op(
        f"{_version}AccumulatorNumAccumulated",
        inputs=[_in],
        outputs=["num_accumulated: int32"],
        stateful=_stateful,
        shape=scalar,
    )
    define_op(
        f"{_version}AccumulatorSetGlobalStep",
        inputs=[_in, "new_global_step: int64"],
        stateful=_stateful,
        shape=_second_scalar,
    )
    define_op(
        f"{_version}AccumulatorApplyGradient",
        inputs=[_in, "local_step: int64", "gradient: dtype"],
        attrs=[_NUMBER],
        stateful=_stateful,
        shape=_second_scalar,
    )
    define_op(
        f"{_version}AccumulatorTakeGradient",
        inputs=[_in, "num_required: int32"],
        outputs=["average: dtype"],
        attrs=[_NUMBER],
        stateful=_stateful,
        shape=_second_scalar,
    )

define_op(
    "SparseConditionalAccumulator",
    outputs=["handle: Ref(string)"],
    attrs=_SETTINGS,
    stateful=True,
    shape=_reference_shape,
)
define_op(
    "SparseAccumulatorApplyGradient",
    inputs=[
        *("handle: Ref(string)", "local_step: int64"),
        *("gradient_indices: int64", "gradient_values: dtype", "gradient_shape: int64"),
    ],
    attrs=[_NUMBER, "has_known_shape: bool"],
    shape=no_outputs,
)
define_op(
    "SparseAccumulatorTakeGradient",
    inputs=["handle: Ref(string)", "num_required: int32"],
    outputs=["indices: int64", "values: dtype", "shape: int64"],
    attrs=[_NUMBER],
    shape=unknown,
)


# --- what programs make ---------------------------------------------------------------------------


@export("ConditionalAccumulatorBase")
class ConditionalAccumulatorBase:
    """A sum of gradients in the session, with the step that they belong to.

    Args:
        dtype: of the gradients.
        shape: of the gradients, or None.
        accumulator_ref: the handle.
    """

    # What the names of operations on the handle begin with.
    _version = "Resource"

    def __init__(self, dtype: Any, shape: Any, accumulator_ref: Tensor) -> None:
        self._dtype = dtype
        self._shape = TensorShape(shape)
        self._accumulator_ref = accumulator_ref
        self._name: str = accumulator_ref.op.name.rpartition("/")[2]

    @property
    def accumulator_ref(self) -> Tensor:
        """The handle."""
        return self._accumulator_ref

    @property
    def name(self) -> str:
        """The last part of the name of the operation behind the handle."""
        return self._name

    @property
    def dtype(self) -> Any:
        """The dtype of the gradients."""
        return self._dtype

    def num_accumulated(self, name: str | None = None) -> Tensor:
        """How many gradients there are: an int32 scalar."""
        name = f"{self._name}_NumAccumulated" if name is None else name
        result: Tensor = create_op(
            f"{self._version}AccumulatorNumAccumulated", [self._accumulator_ref], name=name
        )
        return result

    def set_global_step(self, new_global_step: Any, name: str | None = None) -> Operation:
        """Say of which step gradients must be from now on; those of older ones are dropped."""
        inputs = [self._accumulator_ref, _as_step(new_global_step)]
        operation: Operation = create_op(
            f"{self._version}AccumulatorSetGlobalStep", inputs, name=name
        )
        return operation


def _as_step(step: Any) -> Any:
    return cast(convert_to_tensor(step), int64)


def _make(op_type: str, dtype: Any, shape: Any, shared_name: Any, name: Any, kind: str) -> Tensor:
    attrs = {"dtype": dtype, "shape": shape, "shared_name": shared_name, "reduction_type": kind}
    handle: Tensor = create_op(op_type, [], attrs, name)
    return handle


@export("ConditionalAccumulator")
class ConditionalAccumulator(ConditionalAccumulatorBase):
    """Dense gradients, summed until a take finds as many as it requires.

    A gradient comes with the step that it was computed for. It is dropped, without an error, if
    that is older than the accumulator's step, which is 0 at first, and one more after each take.

    Args:
        dtype: of the gradients: float16, float32 or float64.
        shape: of the gradients, as far as it is known; None when nothing is.
        shared_name: accumulators of one shared name, in one session, are one.
        name: name of the operation.
        reduction_type: "MEAN" or "SUM", what a take gives.

    Raises:
        ValueError: another `reduction_type`.
    """

    def __init__(self, dtype: Any, shape: Any = None, shared_name: str | None = None,
                 name: str = "conditional_accumulator",
                 reduction_type: str = "MEAN") -> None:  # fmt: skip
        handle = _make(
            "ResourceConditionalAccumulator", dtype, shape, shared_name, name, reduction_type
        )
        super().__init__(dtype, shape, handle)

    def apply_grad(self, grad: Any, local_step: Any = 0, name: str | None = None) -> Operation:
        """Add a gradient that was computed for `local_step`, an integer scalar.

        Returns:
            The operation. When it runs it raises InvalidArgumentError for a gradient of another
            shape than the accumulator's, or than those that are in.

        Raises:
            ValueError: `grad` has another static shape.
        """
        grad = convert_to_tensor(grad, self._dtype)
        grad.shape.assert_is_compatible_with(self._shape)
        inputs = [self._accumulator_ref, _as_step(local_step), grad]
        operation: Operation = create_op("ResourceAccumulatorApplyGradient", inputs, name=name)
        return operation

    def take_grad(self, num_required: Any, name: str | None = None) -> Tensor:
        """The mean or sum of the gradients, once there are `num_required`, an int32 scalar.

        The accumulator is empty afterwards, and one step further. Takes are served in the order in
        which they come. A step that waits is ended by `Session.close` and by timeouts.

        Returns:
            The gradient. When it runs it raises InvalidArgumentError if `num_required` is not
            positive.
        """
        inputs, attrs = [self._accumulator_ref, num_required], {"dtype": self._dtype}
        result: Tensor = create_op("ResourceAccumulatorTakeGradient", inputs, attrs, name)
        result.set_shape(self._shape)
        return result


@export("SparseConditionalAccumulator", "sparse.SparseConditionalAccumulator")
class SparseConditionalAccumulator(ConditionalAccumulatorBase):
    """Gradients that hold slices of a tensor, summed until a take finds as many as it requires.

    Slices of the same index are added; the mean of a slice is over the gradients that had it.
    Indices should be in order, each once: of others some slices stay apart, as in IndexedSlices.
    For steps see ConditionalAccumulator.

    Args:
        dtype: of the values: float16, float32 or float64.
        shape: of the whole tensor, as far as it is known; None when nothing is.
        shared_name: accumulators of one shared name, in one session, are one.
        name: name of the operation.
        reduction_type: "MEAN" or "SUM", what a take gives.

    Raises:
        ValueError: another `reduction_type`.
    """

    _version = ""

    def __init__(self, dtype: Any, shape: Any = None, shared_name: str | None = None,
                 name: str = "sparse_conditional_accumulator",
                 reduction_type: str = "MEAN") -> None:  # fmt: skip
        handle = _make(
            "SparseConditionalAccumulator", dtype, shape, shared_name, name, reduction_type
        )
        super().__init__(dtype, shape, handle)

    def apply_indexed_slices_grad(
        self, grad: IndexedSlices, local_step: Any = 0, name: str | None = None
    ) -> Operation:
        """Add IndexedSlices; see `apply_grad`."""
        return self.apply_grad(grad.indices, grad.values, grad.dense_shape, local_step, name)

    def apply_grad(
        self,
        grad_indices: Any,
        grad_values: Any,
        grad_shape: Any = None,
        local_step: Any = 0,
        name: str | None = None,
    ) -> Operation:
        """Add a gradient that was computed for `local_step`, an integer scalar.

        Args:
            grad_indices: the index of each slice, `[n]`.
            grad_values: the slices, `[n, ...]`.
            grad_shape: the shape of the whole tensor, or None.
            local_step: the step.
            name: name of the operation.

        Returns:
            The operation. When it runs it raises InvalidArgumentError for what does not fit
            together, or not to the accumulator's shape, or not to the gradients that are in.
        """
        step = _as_step(local_step)
        inputs = [self._accumulator_ref, step, cast(grad_indices, int64), grad_values]
        inputs.append(cast([] if grad_shape is None else grad_shape, int64))
        attrs = {"has_known_shape": grad_shape is not None}
        operation: Operation = create_op("SparseAccumulatorApplyGradient", inputs, attrs, name)
        return operation

    def take_grad(self, num_required: Any, name: str | None = None) -> Any:
        """The mean or sum of the gradients, once there are `num_required`, an int32 scalar.

        Returns:
            Tensors `indices`, `values` and `shape`, in a named tuple; what of the shape is not
            known is -1. For the rest see ConditionalAccumulator.
        """
        inputs, attrs = [self._accumulator_ref, num_required], {"dtype": self._dtype}
        return create_op("SparseAccumulatorTakeGradient", inputs, attrs, name)

    def take_indexed_slices_grad(self, num_required: Any, name: str | None = None) -> IndexedSlices:
        """What `take_grad` gives, as IndexedSlices."""
        indices, values, shape = self.take_grad(num_required, name)
        return IndexedSlices(values, indices, shape)
