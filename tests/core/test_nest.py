"""Nests: their leaves in order, their form around other leaves, and how two of them differ."""

from collections import OrderedDict, defaultdict, namedtuple

import pytest

import tfsession
from tfsession.core import nest

Pair = namedtuple("Pair", "b a")

NESTS = [
    # (structure, its leaves)
    (1, [1]),
    ("text", ["text"]),
    ([], []),
    ([1, (2, 3), [[4]]], [1, 2, 3, 4]),
    ({"b": 1, "a": [2, 3]}, [2, 3, 1]),
    (OrderedDict([("b", 1), ("a", 2)]), [2, 1]),
    (defaultdict(list, {"b": 1, "a": 2}), [2, 1]),
    (Pair(1, (2,)), [1, 2]),
    ([None, {}], [None]),
]


@pytest.mark.parametrize(("structure", "leaves"), NESTS, ids=[str(row[0]) for row in NESTS])
def test_leaves_and_form(structure, leaves):
    assert nest.flatten(structure) == leaves
    packed = nest.pack(structure, leaves)
    assert packed == structure
    assert type(packed) is type(structure)
    if isinstance(structure, dict):
        assert list(packed) == list(structure)
    doubled = nest.map_structure(lambda a, b: (a, b), structure, structure)
    assert nest.flatten(doubled) == [leaf for leaf in leaves for _ in range(2)]


SAME = [(1, "x"), ([1, (2,)], [3, (4,)]), ({"a": 1, "b": 2}, OrderedDict(b=3, a=4)), ([], [])]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_the_same_form(first, second):
    nest.check_same(first, second)


DIFFERENT = [
    ([1], 1, ValueError, "is a sequence, while substructure 1 is not"),
    ([1, [2]], [1, 2], ValueError, r"type=list str=\[2\] is a sequence"),
    ([1], [1, 2], ValueError, "have 1 and 2 elements"),
    ([1], (1,), TypeError, "types list and tuple differ"),
    (Pair(1, 2), (1, 2), TypeError, "types Pair and tuple differ"),
    ({"a": 1}, {"b": 1}, ValueError, "keys"),
    ({"a": 1}, [1], TypeError, "types dict and list differ"),
]


@pytest.mark.parametrize(("first", "second", "error", "text"), DIFFERENT)
def test_another_form(first, second, error, text):
    with pytest.raises(error, match="don't have the same nested structure(?s:.)*" + text):
        nest.check_same(first, second)


def test_keys_must_have_an_order():
    with pytest.raises(TypeError, match="sortable keys"):
        nest.flatten({1: 2, "a": 3})


UP_TO = [
    (1, [2, 3], [[2, 3]]),
    ([1, 2], [[3, 4], 5], [[3, 4], 5]),
    ((1, (2, 3)), (4, (5, [6])), [4, 5, [6]]),
    ({"b": 1, "a": [2]}, {"a": [(3,)], "b": 4}, [(3,), 4]),
    (Pair(1, [2]), Pair({"x": 3}, [4]), [{"x": 3}, 4]),
    ([], [], []),
]
NOT_UP_TO = [
    (TypeError, [1], 2),
    (TypeError, [1], (2,)),
    (TypeError, [1], {"a": 2}),
    (ValueError, [1, 2], [3]),
    (ValueError, {"a": 1}, {"b": 1}),
]


@pytest.mark.parametrize(("shallow", "structure", "parts"), UP_TO)
def test_parts_where_another_structure_ends(shallow, structure, parts):
    assert tfsession.contrib.framework.nest.flatten_up_to(shallow, structure) == parts
    mapped = tfsession.contrib.framework.nest.map_structure_up_to(
        shallow, lambda part, other: (part, other), structure, structure
    )
    assert mapped == nest.pack(shallow, [(part, part) for part in parts])


@pytest.mark.parametrize(("error", "shallow", "structure"), NOT_UP_TO)
def test_structures_that_do_not_go_so_deep(error, shallow, structure):
    with pytest.raises(error):
        nest.flatten_up_to(shallow, structure)


def test_types_may_differ_if_told_so():
    assert nest.flatten_up_to([1, (2,)], ((3,), [4]), check_types=False) == [(3,), 4]
    with pytest.raises(ValueError, match="no sequences"):
        tfsession.contrib.framework.nest.map_structure_up_to([1], len)
