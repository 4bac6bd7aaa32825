"""Conditional accumulators: gradients of one training step, summed until there are enough.

Each gradient comes with the step that it was computed for. One of an older step than the
accumulator's is stale, and dropped. A take waits for the number of gradients that it requires,
gives their mean or sum, and moves the accumulator to the next step.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tfsession.core import forking
from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.shape import Shape, debug_string
from tfsession.devices.memory import charged
from tfsession.resources.waits import WAIT, Waits

SCALED_BY_COUNT = "MEAN"


class Accumulator(Waits):
    """The sum of dense gradients of one dtype and shape.

    Args:
        name: as it stands in error messages.
        container: where the accumulator lives.
        dtype: of the gradients.
        shape: of the gradients, as far as it is known.
        reduction: "MEAN" or "SUM", what a take gives.
    """

    in_turn = True
    kind: ClassVar[str] = "dense"

    def __init__(
        self, name: str, container: str, dtype: DType, shape: Shape, reduction: str
    ) -> None:
        super().__init__()
        self.name = name
        self.container = container
        self.dtype = dtype
        self.shape = shape
        self.reduction = reduction
        self._step = 0
        self._count = 0
        self._forget()

    def check_shared(self, wanted: Accumulator) -> None:
        """Raise InvalidArgumentError unless an operation of its name wants just this."""
        for what, have, want in (
            ("kind of gradients", self.kind, wanted.kind),
            ("dtype", self.dtype.name, wanted.dtype.name),
            ("shape", debug_string(self.shape), debug_string(wanted.shape)),
            ("reduction type", self.reduction, wanted.reduction),
        ):
            if have != want:
                raise _refuse(
                    f"Shared accumulator '{self.name}' has {what} {have} but requested {what} "
                    f"was {want}"
                )

    # --- what the two kinds differ in -------------------------------------------------------------

    def _forget(self) -> None:
        self._sum: Any = None

    def _check(self, gradient: Any) -> None:
        """Raise InvalidArgumentError for a gradient that does not fit. Under the lock."""
        shape = gradient.shape
        if self._count and shape != self._sum.shape:
            raise _mismatch(debug_string(self._sum.shape), debug_string(shape))
        if self.shape is not None and (
            len(shape) != len(self.shape)
            or any(want not in (None, has) for want, has in zip(self.shape, shape, strict=True))
        ):
            raise _mismatch(debug_string(self.shape), debug_string(shape))

    def _begin(self, gradient: Any) -> None:
        """Take the first gradient of a step, in memory of our own."""
        self._sum = charged(np.array(gradient))

    def _add(self, gradient: Any) -> None:
        """Add a further gradient."""
        self._sum += gradient

    def _result(self) -> Any:
        """What a take gives; the accumulator keeps none of it."""
        if self.reduction == SCALED_BY_COUNT:
            self._sum /= self.dtype.numpy.type(self._count)
        return self._sum

    # --- operations -------------------------------------------------------------------------------

    def apply(self, step: int, gradient: Any) -> None:
        """Add a gradient that was computed for `step`; drop it if it is stale.

        Raises:
            InvalidArgumentError: its shape does not fit.
        """

        def add() -> None:
            if step < self._step:
                return
            self._check(gradient)
            if self._count:
                self._add(gradient)
            else:
                self._begin(gradient)
            self._count += 1

        self._change(add)

    def take(self, required: int) -> Any:
        """The mean or sum once there are `required` gradients; a Pending until then.

        The accumulator is empty then, and one step further.

        Raises:
            InvalidArgumentError: `required` is not positive.
        """
        if required <= 0:
            raise _refuse(f"Argument num_required must be positive, but was {required}")

        def take() -> Any:
            if self._count < required:
                return WAIT
            result = self._result()
            self._forget()
            self._count = 0
            self._step += 1
            return result

        return self._perform("TakeGrad", take)

    def set_step(self, step: int) -> None:
        """Say of which step gradients must be from now on."""
        with forking.once_free(self._lock):
            self._step = step

    @property
    def count(self) -> int:
        """How many gradients there are."""
        with forking.once_free(self._lock):
            return self._count

    # --- what a reference to an accumulator is as a value, as with queues -------------------------

    @property
    def is_initialized(self) -> bool:
        """An accumulator always is."""
        return True

    def read(self) -> Any:
        """The container and the name, as a string vector."""
        return np.array([self.container.encode(), self.name.encode()], object)


class SparseAccumulator(Accumulator):
    """The sum of gradients that hold some slices of a tensor: indices and values.

    Slices of one index are added where both lists of indices come to it at the same time, as they
    do when each is in order; the mean of a slice is over the gradients that had it. A gradient is
    a tuple: indices `[n]`, values `[n, ...]`, and the shape of the whole or None.
    """

    kind = "sparse"

    def _forget(self) -> None:
        self._indices: Any = None
        self._values: Any = None
        self._counts: Any = None

    def _check(self, gradient: Any) -> None:
        indices, values, whole = gradient
        if indices.ndim != 1:
            raise _refuse(
                f"Input indices should be vector but received shape: {debug_string(indices.shape)}"
            )
        if not values.ndim:
            raise _refuse("Values cannot be 0-dimensional.")
        if len(values) != len(indices):
            raise _refuse(f"Expected {len(indices)} non-empty input values, got {len(values)}")
        shape = self.shape or ()
        if whole is not None:
            _check_whole(shape, whole)
        if shape and shape[0] is not None:
            for place in np.flatnonzero(indices >= shape[0])[:1].tolist():
                raise _refuse(
                    f"Shape mismatch: index of slice {place} exceeded limits of shape; index is "
                    f"{indices[place]} exceeded {shape[0]}"
                )
        if self._count and self._values.ndim != values.ndim:
            raise _mismatch(f"values rank {self._values.ndim}", values.ndim)
        if not self._count and len(shape) > values.ndim:
            raise _mismatch(f"values rank at least {len(shape)}", values.ndim)
        expected = self._values.shape if self._count else shape
        for axis in range(1, len(expected)):
            if expected[axis] not in (None, values.shape[axis]):
                raise _mismatch(f"values dim {axis} to be {expected[axis]}", values.shape[axis])

    def _begin(self, gradient: Any) -> None:
        indices, values, _ = gradient
        self._indices, self._values = charged(np.array(indices)), charged(np.array(values))
        self._counts = charged(np.ones(len(indices), np.int64))

    def _add(self, gradient: Any) -> None:
        new, values, _ = gradient
        mine, its = _merged(self._indices.tolist(), new.tolist())
        count = 1 + max([*mine, *its], default=-1)
        indices = charged(np.empty(count, np.int64))
        indices[mine], indices[its] = self._indices, new
        total = charged(np.zeros((count, *values.shape[1:]), values.dtype))
        counts = charged(np.zeros(count, np.int64))
        total[mine], counts[mine] = self._values, self._counts
        total[its] += values
        counts[its] += 1
        self._indices, self._values, self._counts = indices, total, counts

    def _result(self) -> Any:
        if self.reduction == SCALED_BY_COUNT:
            counts = self._counts.astype(self._values.dtype)
            self._values /= counts.reshape(-1, *(1,) * (self._values.ndim - 1))
        first = self.shape[0] if self.shape else None
        whole = [-1 if first is None else first, *self._values.shape[1:]]
        return self._indices, self._values, np.array(whole, np.int64)


def _merged(one: list[int], other: list[int]) -> tuple[list[int], list[int]]:
    """Where the entries of two lists come in their merge, in which equal heads become one."""
    places: tuple[list[int], list[int]] = ([], [])
    place = i = j = 0
    while i < len(one) and j < len(other):
        is_first, is_second = one[i] <= other[j], other[j] <= one[i]
        if is_first:
            places[0].append(place)
            i += 1
        if is_second:
            places[1].append(place)
            j += 1
        place += 1
    places[0].extend(range(place, place + len(one) - i))
    places[1].extend(range(place, place + len(other) - j))
    return places


def _check_whole(shape: tuple[int | None, ...], whole: Any) -> None:
    """Hold the shape that a gradient tells against the accumulator's."""
    told = whole.ravel().tolist()
    if len(shape) > len(told):
        raise _mismatch(f"shape rank at least {len(shape)}", len(told))
    for axis, (want, has) in enumerate(zip(shape, told, strict=False)):
        if want not in (None, has):
            raise _mismatch(f"shape dim {axis} to be {want}", has)


def _refuse(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, message)


def _mismatch(expected: str, got: Any) -> InvalidArgumentError:
    return _refuse(f"Shape mismatch: expected {expected}, got {got}")
