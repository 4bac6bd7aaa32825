"""`tf.nest`: structures of lists, tuples and mappings around leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core import nest
from tfsession.core.exports import export
from tfsession.graph.composite import composite_type_of


def _names(name: str) -> tuple[str, ...]:
    return (f"nest.{name}", f"contrib.framework.nest.{name}", f"python.util.nest.{name}")


@export(*_names("is_nested"), "contrib.framework.nest.is_sequence", "python.util.nest.is_sequence")
def is_nested(seq: Any) -> bool:
    """Whether `seq` is a list, a tuple or a mapping, not a leaf."""
    return nest.is_nested(seq)


@export(*_names("flatten"))
def flatten(structure: Any, expand_composites: bool = False) -> list[Any]:
    """The leaves in order, those of mappings by sorted keys.

    Args:
        structure: a structure, or a leaf.
        expand_composites: take sparse tensors and their like apart, too.
    """
    leaves = nest.flatten(structure)
    if not expand_composites:
        return leaves
    return [part for leaf in leaves for part in _components(leaf)]


def _components(leaf: Any) -> list[Any]:
    composite = composite_type_of(leaf)
    return [leaf] if composite is None else list(composite.components(leaf))


@export(*_names("pack_sequence_as"))
def pack_sequence_as(
    structure: Any, flat_sequence: Sequence[Any], expand_composites: bool = False
) -> Any:
    """A structure of the same form around other leaves.

    Args:
        structure: the form.
        flat_sequence: the leaves in the order of `flatten`.
        expand_composites: as for `flatten`; composites cannot be put together again.

    Raises:
        TypeError: `flat_sequence` is no sequence.
        ValueError: it has more or fewer leaves than there are places.
        NotImplementedError: a composite would have to be made.
    """
    if not isinstance(flat_sequence, list | tuple):
        raise TypeError(
            f"Attempted to pack value:\n  {flat_sequence}\ninto a structure, but found "
            f"incompatible type `{type(flat_sequence)}` instead."
        )
    if not nest.is_nested(structure):
        if len(flat_sequence) != 1:
            raise ValueError(
                "The target structure is of type "
                f"`{type(structure)}`\n  {structure}\nHowever the input is a sequence "
                f"({type(flat_sequence)}) of length {len(flat_sequence)}.\n  {flat_sequence}\n"
                "nest cannot guarantee that it is safe to map one to the other."
            )
        return flat_sequence[0]
    places = nest.flatten(structure)
    if expand_composites and any(composite_type_of(leaf) is not None for leaf in places):
        raise NotImplementedError("pack_sequence_as does not make composite tensors")
    if len(places) != len(flat_sequence):
        raise ValueError(
            "Could not pack sequence. "
            f"Structure had {len(places)} atoms, but flat_sequence had {len(flat_sequence)} items. "
            f"Structure: {structure}, flat_sequence: {flat_sequence}."
        )
    return nest.pack(structure, list(flat_sequence))


@export(*_names("map_structure"))
def map_structure(func: Callable[..., Any], *structure: Any, **kwargs: Any) -> Any:
    """What `func` gives for the leaves that stand in the same places, in the same form.

    Args:
        func: a function of as many leaves as there are structures.
        structure: structures of one form.
        kwargs: `check_types`: hold types of sequences equal, too (true by default).

    Raises:
        TypeError: `func` is no function, or types of sequences differ.
        ValueError: no structure, other keyword arguments, or forms that differ.
    """
    if not callable(func):
        raise TypeError(f"func must be callable, got: {func}")
    if not structure:
        raise ValueError("Must provide at least one structure")
    check_types = kwargs.pop("check_types", True)
    kwargs.pop("expand_composites", False)
    if kwargs:
        names = ", ".join(kwargs)
        raise ValueError(
            "Only valid keyword arguments are `check_types` and `expand_composites`, not: "
            f"`{names}`"
        )
    for other in structure[1:]:
        assert_same_structure(structure[0], other, check_types)
    return nest.map_structure(func, *structure)


@export(*_names("flatten_up_to")[1:])
def flatten_up_to(
    shallow_tree: Any, input_tree: Any, check_types: bool = True, expand_composites: bool = False
) -> list[Any]:
    """The parts of `input_tree` where `shallow_tree` has leaves; they may be structures.

    Args:
        shallow_tree: a structure that ends where the other may go on.
        input_tree: the structure.
        check_types: hold types of sequences equal, too.
        expand_composites: accepted; composites are leaves.

    Raises:
        TypeError: `shallow_tree` goes deeper, or types of sequences differ and `check_types`.
        ValueError: sizes differ.
    """
    return nest.flatten_up_to(shallow_tree, input_tree, check_types)


@export(*_names("map_structure_up_to")[1:])
def map_structure_up_to(
    shallow_tree: Any, func: Callable[..., Any], *inputs: Any, **kwargs: Any
) -> Any:
    """What `func` gives for the parts of structures where `shallow_tree` has leaves, in its form.

    Args:
        shallow_tree, kwargs: as for `flatten_up_to`.
        func: a function of as many parts as there are structures.
        inputs: the structures.

    Raises:
        TypeError, ValueError: as for `flatten_up_to`; there are no structures.
    """
    if not inputs:
        raise ValueError("Cannot map over no sequences")
    check_types = kwargs.get("check_types", True)
    parts = [nest.flatten_up_to(shallow_tree, each, check_types) for each in inputs]
    return nest.pack(shallow_tree, [func(*column) for column in zip(*parts, strict=True)])


@export(*_names("assert_same_structure"))
def assert_same_structure(
    nest1: Any, nest2: Any, check_types: bool = True, expand_composites: bool = False
) -> None:
    """Hold two structures to one form.

    Raises:
        TypeError: types of sequences differ and `check_types` is true.
        ValueError: the forms differ.
    """
    if check_types:
        nest.check_same(nest1, nest2)
    else:
        nest.check_same(_plain(nest1), _plain(nest2))


def _plain(structure: Any) -> Any:
    """The same form, all sequences being lists."""
    if not nest.is_nested(structure):
        return structure
    if isinstance(structure, list | tuple):
        return [_plain(part) for part in structure]
    return {key: _plain(structure[key]) for key in structure}
