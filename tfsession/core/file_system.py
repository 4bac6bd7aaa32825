"""Files under TensorFlow's names for what can go wrong: local paths, and errors by status code."""

from __future__ import annotations

import errno
import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tfsession.core import errors

_WILDCARD: Final = re.compile(r"[*?\[]")
_ERRORS: Final[dict[int, Any]] = {
    errno.ENOENT: errors.NotFoundError,
    errno.EACCES: errors.PermissionDeniedError,
    errno.EPERM: errors.PermissionDeniedError,
    errno.EEXIST: errors.AlreadyExistsError,
    errno.ENOTEMPTY: errors.FailedPreconditionError,
    errno.EISDIR: errors.FailedPreconditionError,
    errno.ENOTDIR: errors.FailedPreconditionError,
    errno.EINVAL: errors.InvalidArgumentError,
    errno.ENAMETOOLONG: errors.InvalidArgumentError,
    errno.ENOSPC: errors.ResourceExhaustedError,
    **dict.fromkeys(
        (errno.EMFILE, errno.EDQUOT, errno.EFBIG, errno.ENOMEM), errors.ResourceExhaustedError
    ),
}
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def file_errors(name: Any = None) -> Iterator[None]:
    """TensorFlow's errors for those of the operating system; a context, or a decorator.

    `name` is the file's, for errors that tell none: those of writing to an open file.
    """
    try:
        yield
    except OSError as error:
        raise file_error(error, name) from None


def file_error(error: OSError, name: Any = None) -> errors.OpError:
    """What TensorFlow raises where Python raises `error`; `name` as in `file_errors`."""
    kind = _ERRORS.get(error.errno or 0, errors.UnknownError)
    told = error.filename if error.filename is not None else name
    names = [os.fsdecode(n) for n in (told, error.filename2) if n is not None]
    text = "; ".join([" -> ".join(names), error.strerror or str(error)])
    if error.errno in _FULL:
        text += ". Free some space there, or write to another place"
    found: errors.OpError = kind(None, None, text)
    return found


def local_path(name: Any) -> str:
    """The path of a local file, given as text, bytes, a path or a URL.

    Raises:
        UnimplementedError: it is a URL of another kind than `file://`.
    """
    text = os.fsdecode(name)
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text
    if scheme != "file":
        raise errors.UnimplementedError(
            None, None, f"File system scheme '{scheme}' not implemented (file: '{text}')"
        )
    return rest


def matching_paths(pattern: Any) -> list[str]:
    """The paths that fit a pattern, sorted: `*`, `?` and `[...]` stand for parts of a name.

    Those found in the working directory begin with "./", as TensorFlow's do.
    """
    text = local_path(pattern).replace("[^", "[!")
    fixed = _WILDCARD.split(text)[0]
    if fixed != text and "/" not in fixed:
        text = f"./{text}"
    return sorted(glob.glob(text, include_hidden=True))  # noqa: PTH207 (keeps "./")
