"""`tf.flags` and `tf.app`: absl's flags, read at their first use, as TensorFlow has them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, NoReturn

from absl import app as absl_app
from absl import flags as absl_flags
from absl.flags import *  # noqa: F403

# What these arguments were called before flags came from absl.
_OLD_NAMES = {"flag_name": "name", "default_value": "default", "docstring": "help"}


class _Flags:
    """absl's flags; the command line is read when a program first reads a flag."""

    def __init__(self, flags: Any) -> None:
        self.__dict__["_flags"] = flags

    def __getattr__(self, name: str) -> Any:
        flags = self.__dict__["_flags"]
        if name == "__flags":  # programs of before absl show all flags by it
            return vars(flags)[name]
        if name.startswith("__"):
            raise AttributeError(name)
        if name in flags and not flags.is_parsed():
            flags(sys.argv)
        return getattr(flags, name)

    def _parse_flags(self, args: Sequence[str] | None = None) -> list[str]:
        """Read the flags of a line without its program, as before 1.5; gives the rest."""
        line = sys.argv if args is None else [sys.argv[0], *args]
        rest: list[str] = self.__dict__["_flags"](line, known_only=True)
        return rest[1:]

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_flags"], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__dict__["_flags"], name)

    def __getitem__(self, name: str) -> Any:
        return self.__dict__["_flags"][name]

    def __setitem__(self, name: str, flag: Any) -> None:
        self.__dict__["_flags"][name] = flag

    def __contains__(self, name: str) -> bool:
        return name in self.__dict__["_flags"]

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__["_flags"])

    def __len__(self) -> int:
        return len(self.__dict__["_flags"])

    def __dir__(self) -> list[str]:
        return dir(self.__dict__["_flags"])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_flags"](*args, **kwargs)

    def __str__(self) -> str:
        return str(self.__dict__["_flags"])


def _renaming(define: Callable[..., Any]) -> Callable[..., Any]:
    """The function that takes the old names of its arguments, too."""

    @wraps(define)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return define(*args, **{_OLD_NAMES.get(key, key): kwargs[key] for key in kwargs})

    return wrapper


FLAGS = _Flags(absl_flags.FLAGS)
DEFINE_string = _renaming(absl_flags.DEFINE_string)
DEFINE_boolean = _renaming(absl_flags.DEFINE_boolean)
DEFINE_bool = DEFINE_boolean
DEFINE_float = _renaming(absl_flags.DEFINE_float)
DEFINE_integer = _renaming(absl_flags.DEFINE_integer)


def run(main: Callable[..., Any] | None = None, argv: Sequence[str] | None = None) -> NoReturn:
    """Read the flags, call `main` with what is left of the line, and exit with what it gives.

    Flags that nobody has defined are left to `main`.
    """
    main = main or sys.modules["__main__"].main
    absl_app.run(main=main, argv=argv, flags_parser=_known_flags)


def _known_flags(argv: Sequence[str] | None) -> Any:
    return absl_flags.FLAGS(sys.argv if argv is None else argv, known_only=True)
