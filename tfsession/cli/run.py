"""`tfsession run`: a program of TensorFlow 1, unmodified, with tfsession in TensorFlow's place."""

from __future__ import annotations

import argparse
import builtins
import io
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, TracebackType

from tfsession.imports.finder import install_as_tensorflow

__all__ = ["add_arguments", "run"]

_FAILED = 1
_WRONG_LINE = 2
_INTERRUPTED = 130
_EPILOG = """\
The program finds its own arguments, folder, exit code and tracebacks as under plain `python`.
A process that it starts is its own: one that is to use tfsession must be started by
`tfsession run`, or forked.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command; all behind the program's name is the program's."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.usage = "tfsession run [-h] (SCRIPT | -m MODULE) [ARGUMENT ...]"
    parser.epilog = _EPILOG
    parser.add_argument(
        "-m",
        dest="module",
        nargs=argparse.REMAINDER,
        metavar="MODULE",
        help="run a module by its name, as `python -m` does; all behind it are its arguments",
    )
    parser.add_argument(
        "script",
        nargs=argparse.REMAINDER,
        metavar="SCRIPT",
        help="a file, or a folder or zip file that holds __main__.py; then its arguments",
    )
    parser.set_defaults(complain=parser.error)


def run(args: argparse.Namespace) -> int:
    """Runs the program; its exit code, 1 after an error, 2 where there is no such program."""
    words = args.module or args.script
    if not words:
        args.complain("name a SCRIPT, or -m MODULE")
    install_as_tensorflow()
    if args.module:
        return _run(lambda: _module(words))
    path = Path(words[0])
    if path.is_dir() or (path.is_file() and _is_archive(path)):
        return _run(lambda: _folder(words))
    try:
        with io.open_code(os.path.abspath(path)) as file:  # noqa: PTH100  resolves no links
            source = file.read()
    except OSError as error:
        sys.stderr.write(
            f"tfsession: can't open file {os.fspath(path)!r}: [Errno {error.errno}] "
            f"{error.strerror}\n"
        )
        return _WRONG_LINE
    return _run(lambda: _script(words, source))


def _run(program: Callable[[], None]) -> int:
    """Run it; what it raises is shown as the interpreter shows it, without the frames of ours."""
    try:
        program()
    except SystemExit:
        raise
    except BaseException as error:
        traceback = _below_here(error.__traceback__)
        # The program's own hook, if it has set one; the interpreter's prints what the error holds.
        sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else _FAILED
    return 0


def _below_here(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback


def _main_module() -> ModuleType:
    """A new `__main__`; what stands there now is this command's."""
    module = ModuleType("__main__")
    module.__builtins__ = builtins  # type: ignore[attr-defined]
    if sys.version_info < (3, 14):
        module.__annotations__ = {}
    sys.modules["__main__"] = module
    return module


def _search_first(folder: str) -> None:
    """Put the program's folder where the interpreter has put this command's."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _script(words: Sequence[str], source: bytes) -> None:
    path = os.path.abspath(words[0])  # noqa: PTH100
    sys.argv[:] = words
    _search_first(os.path.dirname(os.path.realpath(path)))  # noqa: PTH120
    module = _main_module()
    module.__file__ = path
    module.__loader__ = SourceFileLoader("__main__", path)
    exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)


def _module(words: Sequence[str]) -> None:
    sys.argv[:] = words
    _search_first(str(Path.cwd()))
    _main_module()
    # What the interpreter itself calls for -m; it sets sys.argv[0] to the module's file.
    runpy._run_module_as_main(words[0], alter_argv=True)  # type: ignore[attr-defined]


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _folder(words: Sequence[str]) -> None:
    sys.argv[:] = words
    path = os.path.abspath(words[0])  # noqa: PTH100
    if sys.flags.safe_path:
        sys.path.insert(0, path)
    else:
        sys.path[0] = path
    _main_module()
    runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
