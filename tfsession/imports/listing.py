"""Which public names of TensorFlow are present, planned or refused, and what a missing one is told.

`tensorflow_names.txt` holds the names: those of TensorFlow 2.21's tf.compat.v1, which `ci/api`
writes, and `names_of_programs.txt` those that only TensorFlow 1 has and that programs use. What is
present is asked of the registry; why another is not, `reasons.txt` tells by patterns.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

from tfsession.core import exports, protos
from tfsession.imports.module_names import (
    CHANGED,
    CONTRIB,
    MODULES,
    RENAMED,
    TEXTS,
    is_message_module,
    plain,
    prefixes,
    searched,
)

__all__ = [
    *("PAGE", "PLANNED", "PRESENT", "REFUSED", "Status", "explain", "is_known_module", "is_module"),
    *("names", "nearest", "present", "status"),
]

PAGE: Final = "tfsession/docs/api.md"
PLANNED, REFUSED, PRESENT = "planned", "refused", "present"
# What a name is told that no list has, by the first part of it.
_UNLISTED: Final = {
    "": "no public name of TensorFlow 1 or of tf.compat.v1",
    "contrib": "tf.contrib ended with TensorFlow 1; the surveyed programs use other parts of it",
    "core": "no message of tfsession; the surveyed programs use other ones",
    "python": "private to TensorFlow; the surveyed programs use other parts of it",
}


class Status(NamedTuple):
    """Present, planned (the reason is the theme) or refused, and the reason."""

    kind: str
    reason: str = ""


def _lines(file: str) -> list[str]:
    text = resources.files(__package__).joinpath(file).read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def parsed(lines: list[str]) -> frozenset[str]:
    """Dotted names from lines `module: name name`, with `tf` for the top; indented ones go on."""
    found, module = [], ""
    for line in lines:
        head, colon, rest = line.partition(": ")
        if colon:
            module = "" if head == "tf" else f"{head}."
        found += [module + name for name in (rest if colon else line).split()]
    return frozenset(found)


@cache
def names(file: str = "tensorflow_names.txt") -> frozenset[str]:
    """The public names that a file of this room lists."""
    return parsed(_lines(file))


@cache
def _known() -> frozenset[str]:
    return names() | names("names_of_programs.txt")


@cache
def _known_modules() -> frozenset[str]:
    modules = {*MODULES, *(f"contrib.{name}" for name in CONTRIB)}
    return frozenset(
        {*modules, *(above for name in _known() | modules for above in prefixes(name))}
    )


@cache
def _reasons() -> list[tuple[list[str], Status]]:
    rules: list[tuple[list[str], Status]] = []
    for line in _lines("reasons.txt"):
        if line.startswith(" "):
            rules[-1][0].extend(line.split())
        else:
            kind, _, reason = line.partition(": ")
            rules.append(([], Status(kind, reason)))
    return rules


def present(dotted: str) -> str | None:
    """The name under which tfsession has what a program calls `tf.<dotted>`; None if it lacks it.

    Both are without a leading `tf.`.
    """
    module, _, name = plain(dotted).rpartition(".")
    if module and is_message_module(module):
        return plain(dotted) if hasattr(protos, name) else None
    if module.startswith("python.ops.gen_"):
        name = name.removeprefix("_")
    renamed = RENAMED.get(plain(dotted))
    for candidate in (*(space + name for space in searched(module)), renamed):
        if candidate in exports.names:
            return candidate
    return None


@cache
def _modules(count: int) -> frozenset[str]:
    """All modules, while there are `count` public names: those without a name are none."""
    own = {above for name in exports.names for above in prefixes(name)}
    own |= {
        module for module in MODULES
        if any(space == "" or space[:-1] in own for space in searched(module))
    }  # fmt: skip
    return frozenset(own | {above for module in own for above in prefixes(module)})


def is_module(dotted: str) -> bool:
    """Whether a program finds a module of this name."""
    module = plain(dotted)
    return not module or module in _modules(len(exports.names)) or is_message_module(module)


def is_known_module(dotted: str) -> bool:
    """Whether TensorFlow has a module of this name, tfsession may have it or not."""
    return plain(dotted) in _known_modules() or is_module(dotted)


def status(dotted: str) -> Status:
    """How things stand with `tf.<dotted>`, of which all public names must have been loaded."""
    dotted = plain(dotted)
    if present(dotted) is not None or is_module(dotted) or dotted in TEXTS:
        return Status(PRESENT)
    if dotted in CHANGED:
        new, change = CHANGED[dotted]
        return Status(REFUSED, f"TensorFlow 1.0 has tf.{new} in its place: {change}")
    module, _, name = dotted.rpartition(".")
    # A private module's name has the reason of the public one.
    public = (space + name for space in searched(module)[1:])
    dotted = next((name for name in public if name in _known()), dotted)
    for patterns, found in _reasons():
        if any(fnmatchcase(dotted, pattern) for pattern in patterns):
            return found
    if dotted in _known() or dotted in _known_modules():
        return Status(PLANNED, "room ops: the op surface")
    return Status(REFUSED, _UNLISTED.get(dotted.partition(".")[0], _UNLISTED[""]))


@cache
def _by_last_part(count: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted(_advisable(), key=lambda name: (len(name), name)):
        found.setdefault(name.rpartition(".")[2].lower(), []).append(name)
    return found


def _advisable() -> Iterator[str]:
    """All names but those of raw ops and private modules, which few programs write."""
    return (name for name in exports.names if not name.startswith(("raw_ops.", "python.")))


def nearest(dotted: str) -> str | None:
    """The name that tfsession has and that is most like `dotted`; None where none is.

    For a planned name none is: it will come under its own.
    """
    if status(dotted).kind == PLANNED:
        return None
    if (new := CHANGED.get(plain(dotted), ("",))[0]) in exports.names:
        return new
    last = plain(dotted).rpartition(".")[2]
    alike = _by_last_part(len(exports.names)).get(last.lower())
    if alike:
        return next((name for name in alike if name.rpartition(".")[2] == last), alike[0])
    close = get_close_matches(plain(dotted), list(_advisable()), 1, 0.8)
    return close[0] if close else None


def explain(dotted: str) -> str:
    """What the error of a missing name says of it."""
    found = status(dotted)
    near = nearest(dotted)
    hint = f"; the nearest name is tf.{near}" if near else ""
    return f"tf.{plain(dotted)} is {found.kind} ({found.reason}){hint}; all names: {PAGE}"
