import copy
import pickle
import traceback
from types import SimpleNamespace

import pytest

from tfsession.core import errors

CLASSES = [
    (1, "CANCELLED", errors.CancelledError),
    (2, "UNKNOWN", errors.UnknownError),
    (3, "INVALID_ARGUMENT", errors.InvalidArgumentError),
    (4, "DEADLINE_EXCEEDED", errors.DeadlineExceededError),
    (5, "NOT_FOUND", errors.NotFoundError),
    (6, "ALREADY_EXISTS", errors.AlreadyExistsError),
    (7, "PERMISSION_DENIED", errors.PermissionDeniedError),
    (8, "RESOURCE_EXHAUSTED", errors.ResourceExhaustedError),
    (9, "FAILED_PRECONDITION", errors.FailedPreconditionError),
    (10, "ABORTED", errors.AbortedError),
    (11, "OUT_OF_RANGE", errors.OutOfRangeError),
    (12, "UNIMPLEMENTED", errors.UnimplementedError),
    (13, "INTERNAL", errors.InternalError),
    (14, "UNAVAILABLE", errors.UnavailableError),
    (15, "DATA_LOSS", errors.DataLossError),
    (16, "UNAUTHENTICATED", errors.UnauthenticatedError),
]


class TwoArgumentError(errors.InvalidArgumentError):
    """A user's subclass with a constructor of its own."""

    def __init__(self, key, value):
        super().__init__(None, None, f"{key}={value}")
        self.key = key


def frames(*lines):
    return [
        traceback.FrameSummary("model.py", number, "build", lookup_line=False, line=text)
        for number, text in lines
    ]


def operation(name, trace=(), original=None):
    return SimpleNamespace(name=name, traceback=list(trace), _original_op=original, node_def=None)


@pytest.mark.parametrize(("code", "constant", "cls"), CLASSES)
def test_each_class_has_its_code(code, constant, cls):
    assert getattr(errors, constant) == code
    error = cls(None, None, "text")
    assert isinstance(error, errors.OpError)
    assert error.error_code == code
    assert errors.exception_type_from_error_code(code) is cls
    assert errors.error_code_from_exception_type(cls) == code


@pytest.mark.parametrize(("code", "constant", "cls"), CLASSES)
def test_attributes_and_text(code, constant, cls):
    error = cls(node_def="node", op=None, message="text")
    assert (error.node_def, error.op, error.message) == ("node", None, "text")
    assert error.experimental_payloads == {}
    assert error.args == ()
    assert str(error) == "text"
    assert repr(error) == f"{cls.__name__}()"


@pytest.mark.parametrize("name", ["node_def", "op", "message", "error_code"])
def test_attributes_are_read_only(name):
    with pytest.raises(AttributeError):
        setattr(errors.AbortedError(None, None, "text"), name, None)


def test_op_error_takes_any_code():
    error = errors.OpError(None, None, "text", 77)
    assert error.error_code == 77
    assert repr(error) == "OpError()"


def test_message_is_needed():
    with pytest.raises(TypeError, match="message"):
        errors.AbortedError(None, None)


def test_payloads():
    error = errors.CancelledError(None, None, "text", {"a": b"b"})
    assert error.experimental_payloads == {"a": b"b"}


@pytest.mark.parametrize("duplicate", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
@pytest.mark.parametrize(
    "error",
    [
        *(cls("node", None, "text", {"a": b"b"}) for _, _, cls in CLASSES),
        errors.OpError(None, None, "text", 77),
        TwoArgumentError("k", 3),
    ],
)
def test_duplicates_are_equal(error, duplicate):
    again = duplicate(error)
    assert type(again) is type(error)
    assert again.__dict__ == error.__dict__
    assert again.args == ()
    assert str(again) == str(error)


def test_text_tells_where_the_op_was_made():
    error = errors.AbortedError(None, operation("N", frames((3, "x = f()"), (4, "g()"))), "text")
    assert str(error) == (
        "text\n\nOriginal stack trace for 'N':\n"
        '  File "model.py", line 3, in build\n    x = f()\n'
        '  File "model.py", line 4, in build\n    g()\n'
    )
    assert error.message == "text"


def test_text_follows_the_ops_it_was_derived_from():
    first = operation("a", frames((1, "p()")))
    last = operation("c", frames((3, "r()")), operation("b", frames((2, "q()")), first))
    assert str(errors.AbortedError(None, last, "text")) == (
        "text\n\nOriginal stack trace for 'c':\n"
        '  File "model.py", line 3, in build\n    r()\n'
        "\n...which was originally created as op 'b', defined at:\n"
        '  File "model.py", line 2, in build\n    q()\n'
        "\n...which was originally created as op 'a', defined at:\n"
        '  File "model.py", line 1, in build\n    p()\n'
    )


@pytest.mark.parametrize("op", [operation("N"), SimpleNamespace(name="N", traceback=None)])
def test_text_of_an_op_without_traceback(op):
    expected = "text\n\nOriginal stack trace for 'N':\n"
    assert str(errors.AbortedError(None, op, "text")) == expected


@pytest.mark.parametrize("code", [errors.OK, 17, -1])
def test_codes_without_a_class(code):
    with pytest.raises(KeyError):
        errors.exception_type_from_error_code(code)


@pytest.mark.parametrize("cls", [errors.OpError, ValueError])
def test_classes_without_a_code(cls):
    with pytest.warns(UserWarning, match="Unknown class exception"):
        error = errors.error_code_from_exception_type(cls)
    assert isinstance(error, errors.UnknownError)
    assert error.message == "Unknown class exception"


def test_error_from_code():
    error = errors.error_from_code("node", None, "text", errors.NOT_FOUND)
    assert type(error) is errors.NotFoundError
    assert (error.node_def, error.message) == ("node", "text")
    with pytest.warns(UserWarning, match="Unknown error code: 77"):
        assert type(errors.error_from_code(None, None, "text", 77)) is errors.UnknownError


def test_status_raises_at_the_end():
    reached = False
    with (
        pytest.raises(errors.NotFoundError, match=r"^no such file$"),
        errors.raise_exception_on_not_ok_status() as status,
    ):
        status.code, status.message = errors.NOT_FOUND, "no such file"
        reached = True
    assert reached


def test_status_ok_is_silent_and_other_errors_pass():
    with errors.raise_exception_on_not_ok_status() as status:
        assert status.code == errors.OK
    with (
        pytest.raises(ZeroDivisionError),
        errors.raise_exception_on_not_ok_status() as status,
    ):
        status.code = errors.ABORTED
        raise ZeroDivisionError


def test_graph_errors_are_the_builtin_kinds():
    assert issubclass(errors.InaccessibleTensorError, ValueError)
    assert issubclass(errors.OperatorNotAllowedInGraphError, TypeError)
