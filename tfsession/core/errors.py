"""The errors a run can raise, one class for each status code.

An operation is duck typed here (`name`, `traceback`, optionally `_original_op`), so that errors can
be raised and read without a graph.
"""

import traceback
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

OK: Final = 0
CANCELLED: Final = 1
UNKNOWN: Final = 2
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
ALREADY_EXISTS: Final = 6
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
FAILED_PRECONDITION: Final = 9
ABORTED: Final = 10
OUT_OF_RANGE: Final = 11
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
DATA_LOSS: Final = 15
UNAUTHENTICATED: Final = 16


class InaccessibleTensorError(ValueError):
    """A tensor is used outside the scope it was made in."""


class OperatorNotAllowedInGraphError(TypeError):
    """A symbolic tensor is used where Python needs its value, as in `if tensor:`."""


class OpError(Exception):
    """An operation failed while a graph ran; the base of all status errors.

    Args:
      node_def: the NodeDef of the failed operation, or None.
      op: the operation, or None where the failure belongs to no single one.
      message: what went wrong.
      error_code: the status code.
      *payloads: at most one mapping of details; it becomes `experimental_payloads`.
    """

    def __init__(
        self, node_def: Any, op: Any, message: str, error_code: int, *payloads: Any
    ) -> None:
        super().__init__()  # without arguments: `args` stays empty, and so does repr()
        self._node_def = node_def
        self._op = op
        self._message = message
        self._error_code = error_code
        self._experimental_payloads: Any = payloads[0] if payloads else {}

    def __reduce__(self) -> tuple[Any, ...]:
        # State instead of arguments: holds for subclasses whatever their constructor takes.
        return _blank, (type(self),), self.__dict__

    @property
    def message(self) -> str:
        """What went wrong."""
        return self._message

    @property
    def op(self) -> Any:
        """The operation that failed, or None when it is not known."""
        return self._op

    @property
    def node_def(self) -> Any:
        """The NodeDef of the operation that failed, or None."""
        return self._node_def

    @property
    def error_code(self) -> int:
        """The status code, as `tf.errors.INVALID_ARGUMENT`."""
        return self._error_code

    @property
    def experimental_payloads(self) -> Any:
        """Details that came with the status, by name."""
        return self._experimental_payloads

    def __str__(self) -> str:
        if self._op is None:
            return self._message
        return self._message + "".join(_origins(self._op))


def _blank(cls: type[OpError]) -> OpError:
    return cls.__new__(cls)


def _origins(op: Any) -> Iterable[str]:
    """Where `op` was made, then the ops it was derived from, each as one paragraph."""
    heading = f"\n\nOriginal stack trace for '{op.name}':\n"
    while op is not None:
        yield heading + "".join(traceback.format_list(getattr(op, "traceback", None) or []))
        op = getattr(op, "_original_op", None)
        if op is not None:
            heading = f"\n...which was originally created as op '{op.name}', defined at:\n"


class CancelledError(OpError):
    """The step was cancelled, or the session or queue it waited for was closed."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, CANCELLED, *payloads)


class UnknownError(OpError):
    """An error of no other class, or one whose code is not known here."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, UNKNOWN, *payloads)


class InvalidArgumentError(OpError):
    """An operation got an input that it can never accept."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, INVALID_ARGUMENT, *payloads)


class DeadlineExceededError(OpError):
    """A step or operation did not end within its time limit."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, DEADLINE_EXCEEDED, *payloads)


class NotFoundError(OpError):
    """Something asked for, such as a file, a key or a kernel, does not exist."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, NOT_FOUND, *payloads)


class AlreadyExistsError(OpError):
    """Something to be created exists already."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, ALREADY_EXISTS, *payloads)


class PermissionDeniedError(OpError):
    """The process may not do what was asked, such as to read a file."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, PERMISSION_DENIED, *payloads)


class ResourceExhaustedError(OpError):
    """Memory, disk space or another bounded resource ran out."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, RESOURCE_EXHAUSTED, *payloads)


class FailedPreconditionError(OpError):
    """The state does not allow the operation, as with an uninitialized variable."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, FAILED_PRECONDITION, *payloads)


class AbortedError(OpError):
    """The operation was given up for another one's sake; it may be tried again."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, ABORTED, *payloads)


class OutOfRangeError(OpError):
    """An operation went past the end, as of a closed queue or an iterator."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, OUT_OF_RANGE, *payloads)


class UnimplementedError(OpError):
    """What was asked for is valid, but not available here."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, UNIMPLEMENTED, *payloads)


class InternalError(OpError):
    """The runtime broke one of its own rules."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, INTERNAL, *payloads)


class UnavailableError(OpError):
    """A device or another process cannot be reached at present."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, UNAVAILABLE, *payloads)


class DataLossError(OpError):
    """Stored data are damaged or cut short."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, DATA_LOSS, *payloads)


class UnauthenticatedError(OpError):
    """The request carries no valid credentials."""

    def __init__(self, node_def: Any, op: Any, message: str, *payloads: Any) -> None:
        super().__init__(node_def, op, message, UNAUTHENTICATED, *payloads)


# Typed as Any: unlike OpError, these constructors take no code.
_CODE_TO_CLASS: Final[dict[int, Any]] = {
    CANCELLED: CancelledError,
    UNKNOWN: UnknownError,
    INVALID_ARGUMENT: InvalidArgumentError,
    DEADLINE_EXCEEDED: DeadlineExceededError,
    NOT_FOUND: NotFoundError,
    ALREADY_EXISTS: AlreadyExistsError,
    PERMISSION_DENIED: PermissionDeniedError,
    RESOURCE_EXHAUSTED: ResourceExhaustedError,
    FAILED_PRECONDITION: FailedPreconditionError,
    ABORTED: AbortedError,
    OUT_OF_RANGE: OutOfRangeError,
    UNIMPLEMENTED: UnimplementedError,
    INTERNAL: InternalError,
    UNAVAILABLE: UnavailableError,
    DATA_LOSS: DataLossError,
    UNAUTHENTICATED: UnauthenticatedError,
}
_CLASS_TO_CODE: Final[dict[Any, int]] = {cls: code for code, cls in _CODE_TO_CLASS.items()}


def exception_type_from_error_code(error_code: int) -> Any:
    """Return the class for a status code; KeyError for OK and unknown codes."""
    return _CODE_TO_CLASS[error_code]


def error_code_from_exception_type(cls: type) -> Any:
    """Return the status code of a class; for another class warn and return an UnknownError."""
    try:
        return _CLASS_TO_CODE[cls]
    except KeyError:
        warnings.warn("Unknown class exception", stacklevel=2)
        return UnknownError(None, None, "Unknown class exception", None)


def error_from_code(node_def: Any, op: Any, message: str, error_code: int) -> OpError:
    """Return an error for a status; an unknown code warns and gives an UnknownError."""
    error: OpError
    try:
        error = _CODE_TO_CLASS[error_code](node_def, op, message)
    except KeyError:
        warnings.warn(f"Unknown error code: {error_code}", stacklevel=2)
        error = UnknownError(node_def, op, message, error_code)
    return error


@dataclass
class Status:
    """A status code with its message, filled in by the code that it is handed to."""

    code: int = OK
    message: str = ""


class raise_exception_on_not_ok_status:
    """Context manager that yields a Status and raises its error at the end unless it is OK."""

    def __enter__(self) -> Status:
        self._status = Status()
        return self._status

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # An exception of the block itself says more than the status it left behind.
        if kind is None and self._status.code != OK:
            raise error_from_code(None, None, self._status.message, self._status.code)
