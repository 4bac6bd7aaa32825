"""Tensor: an output of an operation, known by name, dtype and static shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from tfsession.core import shape as shape_lib
from tfsession.core.dtypes import DType
from tfsession.core.errors import OperatorNotAllowedInGraphError
from tfsession.core.shape import Shape, TensorShape

if TYPE_CHECKING:
    from tfsession.graph.graph import Graph
    from tfsession.graph.operation import Operation

# The default session's `eval`, installed by tfsession.session: the graph knows no session.
evaluate: Callable[[Any, Any, Any], Any] | None = None


def evaluate_in_session(value: Any, feed_dict: Any, session: Any) -> Any:
    """What fetching `value`, which knows its `graph`, gives in `session` or the default session."""
    if evaluate is None:
        raise RuntimeError("No session is available: import tfsession, not its parts")
    return evaluate(value, feed_dict, session)


class Tensor:
    """A symbolic output of an operation. Equality is identity; tensors can be dict keys."""

    OVERLOADABLE_OPERATORS: ClassVar[set[str]]  # told where the operators are defined
    __array_priority__ = 100
    __slots__ = ("__weakref__", "_shape", "dtype", "op", "value_index")

    def __init__(self, op: Operation, value_index: int, dtype: DType) -> None:
        self.op = op
        self.value_index = value_index
        self.dtype = dtype
        self._shape: Shape = None

    @property
    def name(self) -> str:
        """`<op name>:<output index>`."""
        return f"{self.op.name}:{self.value_index}"

    @property
    def graph(self) -> Graph:
        """The graph that holds the tensor."""
        return self.op.graph

    @property
    def device(self) -> str:
        """The device requested for the op, or an empty string."""
        return self.op.device

    @property
    def shape(self) -> TensorShape:
        """The static shape, as far as it is known."""
        return TensorShape.from_tuple(self._shape)

    def get_shape(self) -> TensorShape:
        """The static shape, as far as it is known."""
        return TensorShape.from_tuple(self._shape)

    def set_shape(self, shape: Any) -> None:
        """Merge `shape` into the static shape; raises ValueError when they contradict."""
        new = shape_lib.to_shape(shape)
        if not shape_lib.is_compatible(self._shape, new):
            raise ValueError(
                f"Tensor's shape {self.shape} is not compatible with supplied shape "
                f"{TensorShape.from_tuple(new)}"
            )
        self._shape = shape_lib.merge(self._shape, new)

    @property
    def ndim(self) -> int | None:
        """The static rank, or None."""
        return None if self._shape is None else len(self._shape)

    def consumers(self) -> list[Operation]:
        """The operations that take this tensor as an input, in order of creation."""
        return self.op.graph._consumers(self)

    def ref(self) -> TensorReference:
        """A hashable reference to this tensor."""
        return TensorReference(self)

    def experimental_ref(self) -> TensorReference:
        """Older name of `ref`."""
        return self.ref()

    def eval(self, feed_dict: Any = None, session: Any = None) -> Any:
        """The value of this tensor in `session`, or in the default session."""
        return evaluate_in_session(self, feed_dict, session)

    def _as_tensor(self) -> Tensor:
        return self

    def __repr__(self) -> str:
        return f"<tf.Tensor '{self.name}' shape={self.shape} dtype={self.dtype.name}>"

    def __str__(self) -> str:
        shape = "" if self._shape is None else f", shape={self.shape}"
        device = f", device={self.device}" if self.device else ""
        return f'Tensor("{self.name}"{shape}, dtype={self.dtype.name}{device})'

    def __len__(self) -> NoReturn:
        raise TypeError(
            f"len is not well defined for a symbolic Tensor ({self.name}). Please call `x.shape` "
            "rather than `len(x)` for shape information."
        )

    def __bool__(self) -> NoReturn:
        raise OperatorNotAllowedInGraphError(
            "Using a symbolic `tf.Tensor` as a Python `bool` is not allowed: its value is known "
            f"only when a session runs ({self.name}). Use tf.cond, or compare with `is None`."
        )

    def __iter__(self) -> NoReturn:
        raise OperatorNotAllowedInGraphError(
            f"Iterating over a symbolic `tf.Tensor` is not allowed ({self.name}): its value is "
            "known only when a session runs. Use tf.unstack, tf.map_fn or tf.while_loop."
        )

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise NotImplementedError(
            f"Cannot convert a symbolic tf.Tensor ({self.name}) to a numpy array. This error may "
            "indicate that you're trying to pass a Tensor to a NumPy call, which is not supported."
        )

    def __copy__(self) -> Tensor:
        return self

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self

    if TYPE_CHECKING:
        # What `ops/operators.py`, `ops/matmul.py` and `ops/slice.py` install.
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __rand__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __ror__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __rxor__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __getitem__(self, key: Any) -> Tensor: ...


class TensorReference:
    """What `ref()` of a tensor or variable gives: equal when these are the same object."""

    __slots__ = ("_tensor",)

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def deref(self) -> Any:
        """The tensor, or the variable, itself."""
        return self._tensor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorReference) and other._tensor is self._tensor

    def __hash__(self) -> int:
        return id(self._tensor)

    def __repr__(self) -> str:
        return f"<Reference wrapping {self._tensor!r}>"
