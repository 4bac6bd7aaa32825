"""`tf.logging`: TensorFlow's names for Python's logging, on the logger "tfsession"."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

from tfsession.core import forking
from tfsession.core.exports import export, export_value

DEBUG: Final = logging.DEBUG
INFO: Final = logging.INFO
WARN: Final = logging.WARNING
ERROR: Final = logging.ERROR
FATAL: Final = logging.FATAL

for _name, _level in (("DEBUG", DEBUG), ("INFO", INFO), ("WARN", WARN), ("ERROR", ERROR),
                      ("FATAL", FATAL)):  # fmt: skip
    export_value(_level, f"logging.{_name}")

_logger: Final = logging.getLogger("tfsession")
_lock = forking.lock()
_times_seen: dict[tuple[str, int], int] = {}


@export("get_logger")
def get_logger() -> logging.Logger:
    """The logger of the package; it writes to stderr when the program has set up no logging."""
    if not _logger.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
        _logger.addHandler(handler)
    return _logger


@export("logging.log")
def log(level: int, msg: str, *args: Any, **kwargs: Any) -> None:
    """Log at the given level."""
    get_logger().log(level, msg, *args, **kwargs)


@export("logging.debug")
def debug(msg: str, *args: Any, **kwargs: Any) -> None:
    """Log a detail."""
    get_logger().debug(msg, *args, **kwargs)


@export("logging.info")
def info(msg: str, *args: Any, **kwargs: Any) -> None:
    """Log a piece of information."""
    get_logger().info(msg, *args, **kwargs)


@export("logging.warn", "logging.warning")
def warning(msg: str, *args: Any, **kwargs: Any) -> None:
    """Log a warning."""
    get_logger().warning(msg, *args, **kwargs)


@export("logging.error")
def error(msg: str, *args: Any, **kwargs: Any) -> None:
    """Log an error."""
    get_logger().error(msg, *args, **kwargs)


@export("logging.fatal")
def fatal(msg: str, *args: Any, **kwargs: Any) -> None:
    """Log a fatal error; the program goes on."""
    get_logger().fatal(msg, *args, **kwargs)


@export("logging.vlog")
def vlog(level: int, msg: str, *args: Any, **kwargs: Any) -> None:
    """Log at the given level."""
    get_logger().log(level, msg, *args, **kwargs)


def _count_from_caller() -> int:
    """How often the line that called the caller of this function did so before."""
    frame = sys._getframe(2)
    place = (frame.f_code.co_filename, frame.f_lineno)
    with _lock:
        count = _times_seen.get(place, 0)
        _times_seen[place] = count + 1
    return count


@export("logging.log_every_n")
def log_every_n(level: int, msg: str, n: int, *args: Any) -> None:
    """Log the first of every `n` calls from one line."""
    log_if(level, msg, not _count_from_caller() % n, *args)


@export("logging.log_first_n")
def log_first_n(level: int, msg: str, n: int, *args: Any) -> None:
    """Log the first `n` calls from one line."""
    log_if(level, msg, _count_from_caller() < n, *args)


@export("logging.log_if")
def log_if(level: int, msg: str, condition: Any, *args: Any) -> None:
    """Log if `condition` holds."""
    if condition:
        get_logger().log(level, msg, *args)


@export("logging.TaskLevelStatusMessage")
def task_level_status_message(level: int, msg: str, *args: Any) -> None:
    """Log at the given level."""
    get_logger().log(level, msg, *args)


@export("logging.flush")
def flush() -> None:
    """Write out what handlers hold back."""
    for handler in get_logger().handlers:
        handler.flush()


@export("logging.get_verbosity")
def get_verbosity() -> int:
    """The least level that is logged."""
    return _logger.getEffectiveLevel()


@export("logging.set_verbosity")
def set_verbosity(v: int) -> None:
    """Log this level and all above it."""
    get_logger().setLevel(v)
