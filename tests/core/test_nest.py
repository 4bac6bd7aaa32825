"""Nests: their leaves in order, their form around other leaves, and how two of them differ."""

from collections import OrderedDict, defaultdict, namedtuple

import pytest

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
