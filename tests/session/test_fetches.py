"""What may be fetched, in which structures, and what comes back."""

import collections
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core.errors import InaccessibleTensorError
from tfsession.graph.composite import register_composite_type
from tfsession.runtime.fetches import FetchMap

Point = collections.namedtuple("Point", "x y")
Single = collections.namedtuple("Single", "x")


class Named(tuple):
    """A tuple that takes its items one by one."""

    def __new__(cls, *items):
        return super().__new__(cls, items)


class AttrsLike:
    """What a class decorated by attrs looks like."""

    __attrs_attrs__ = (types.SimpleNamespace(name="first"), types.SimpleNamespace(name="second"))

    def __init__(self, first, second):
        self.first, self.second = first, second


@pytest.fixture
def run(fresh_graph):
    tf.constant(3.0, name="k")
    tf.constant([[1.0, 2.0], [3.0, 4.0]], name="m")
    tf.constant(b"text", name="s")
    tf.no_op(name="n")
    with tf.Session() as session:
        yield session.run


NAMES = [
    ("k:0", 3.0),
    (b"k:0", 3.0),
    (np.str_("k:0"), 3.0),
    ("k:-1", 3.0),
    ("s:0", b"text"),
    ("k", None),
    ("n", None),
]


@pytest.mark.parametrize(("name", "value"), NAMES)
def test_names(run, name, value):
    assert run(name) == value
    assert run([name, name]) == [value, value]


def test_results_are_scalars_arrays_and_bytes(run, fresh_graph):
    scalar, matrix, text = run(["k:0", "m:0", "s:0"])
    assert type(scalar) is np.float32
    assert type(text) is bytes
    assert type(matrix) is np.ndarray
    assert matrix.flags.c_contiguous
    assert matrix.flags.writeable
    matrix[:] = 0
    assert run("m:0").sum() == 10.0


STRUCTURES = [
    ([], []),
    ((), ()),
    ({}, {}),
    ([[], {}, ()], [[], {}, ()]),
    (["k:0"], [3.0]),
    (("k:0", "n"), (3.0, None)),
    (Point("k:0", ["n"]), Point(3.0, [None])),
    ({"a": "k:0", 7: ("k:0",)}, {"a": 3.0, 7: (3.0,)}),
    (collections.OrderedDict(b="k:0", a="n"), collections.OrderedDict(b=3.0, a=None)),
    (collections.defaultdict(list, x="k:0"), collections.defaultdict(list, x=3.0)),
    (Named("k:0", "n"), Named(3.0, None)),
]


@pytest.mark.parametrize(("fetches", "result"), STRUCTURES)
def test_structures(run, fetches, result):
    for _ in range(2):  # the second call takes the step that the first one kept
        found = run(fetches)
        assert found == result
        assert type(found) is type(result)
        if isinstance(result, dict):
            assert list(found) == list(result)
            assert getattr(found, "default_factory", 0) == getattr(result, "default_factory", 0)


def test_a_list_subclass_gives_a_list(run):
    assert type(run(type("L", (list,), {})(["k:0"]))) is list


def test_attrs_classes(run):
    found = run({"x": AttrsLike("k:0", ["n"])})["x"]
    assert type(found) is AttrsLike
    assert (found.first, found.second) == (3.0, [None])


def test_structures_of_equal_parts_are_told_apart(run, fresh_graph):
    k, m = fresh_graph.get_tensor_by_name("k:0"), fresh_graph.get_tensor_by_name("m:0")
    doubled = 2.0 * k
    for _ in range(2):
        assert run([k]) == [3.0]
        assert run((k,)) == (3.0,)
        assert type(run((k,))) is tuple
        assert type(run(Single(k))) is Single
        assert type(run([Single(k)])[0]) is Single
        assert type(run([(k,)])[0]) is tuple
        assert run(doubled, {k: 5.0}) == 10.0
        assert run(Point(doubled, k)) == Point(6.0, 3.0)
        assert run((doubled, k)) == (6.0, 3.0)
        assert run([doubled], {k: 5.0}) == [10.0]
        assert list(run({1: k})) == [1]
        assert type(next(iter(run({True: k})))) is bool
        with pytest.raises(TypeError):
            run(Point(list, m))


def test_a_thing_fetched_twice_is_one_object(run):
    first, second = run(["m:0", ("m:0",)])
    assert first is second[0]


BAD = [
    (None, TypeError, 'Argument `fetch` = None has invalid type "NoneType". Cannot be None'),
    ([["k:0", None]], TypeError, "Cannot be None"),
    (3, TypeError, '= 3 has invalid type "int" must be a string or Tensor. (Can not convert a int'),
    ({1}, TypeError, "Can not convert a set into a Tensor or Operation"),
    (tf.float32, TypeError, "Can not convert a DType"),
    (np.zeros(2), TypeError, "Can not convert a ndarray"),
    ("zz", ValueError, "The name 'zz' refers to an Operation not in the graph."),
    ("zz:0", ValueError, "The operation, 'zz', does not exist in the graph."),
    ("k:1", ValueError, "exists but only has 1 outputs"),
    ("k:x", ValueError, "looks a like a Tensor name, but is not a valid one"),
    ("^k", ValueError, "The name '^k' refers to an Operation not in the graph."),
    (types.MappingProxyType({"x": "k:0"}), TypeError, "must be a mapping, not generator"),
]


@pytest.mark.parametrize(("fetches", "error", "text"), BAD, ids=[repr(row[0]) for row in BAD])
def test_what_cannot_be_fetched(run, fetches, error, text):
    with pytest.raises(error) as raised:
        run(fetches)
    assert text in str(raised.value)
    assert run("k:0") == 3.0


def test_things_of_another_graph(run):
    with tf.Graph().as_default():
        foreign = tf.constant(1.0, name="k")
    for thing in (foreign, foreign.op):
        with pytest.raises(ValueError, match="is not an element of this graph"):
            run(thing)


def test_what_is_marked_as_not_fetchable(run, fresh_graph):
    k = fresh_graph.get_tensor_by_name("k:0")
    assert run(k) == 3.0
    fresh_graph.prevent_fetching(k.op)
    assert not fresh_graph.is_fetchable(k)
    for thing in (k, k.op, "k", [k]):
        with pytest.raises(InaccessibleTensorError, match="marked as not fetchable"):
            run(thing)
    assert run(2.0 * k) == 6.0


def test_indexed_slices(run, fresh_graph):
    slices = tf.IndexedSlices(fresh_graph.get_tensor_by_name("m:0"), tf.constant([4, 2]))
    found = run([slices, slices])[1]
    assert type(found).__name__ == "IndexedSlicesValue"
    assert found.values.sum() == 10.0
    assert found.indices.tolist() == [4, 2]
    assert found.dense_shape is None
    sized = tf.IndexedSlices(slices.values, slices.indices, tf.constant([9, 2]))
    assert run(sized).dense_shape.tolist() == [9, 2]


def test_a_registered_type_is_fetched_and_fed(run, fresh_graph):
    class Pair:
        def __init__(self, left, right):
            self.parts = [left, right]

    register_composite_type(Pair, lambda pair: pair.parts, sum)
    pair = Pair(fresh_graph.get_tensor_by_name("k:0"), tf.constant(4.0))
    total = pair.parts[0] * pair.parts[1]
    for _ in range(2):
        assert run({"sum": pair}) == {"sum": 7.0}
        assert run(total, {pair: (5.0, 6.0)}) == 30.0
        assert run(total, {pair: (5.0,)}) == 20.0


def test_variables(run):
    variable = tf.Variable(1.5)
    resource = tf.Variable(2.5, use_resource=True)
    run([variable.initializer, resource.initializer])
    assert run([variable, resource]) == [1.5, 2.5]
    assert run({"v": variable}) == {"v": 1.5}
    assert run(variable.assign_add(1.0)) == 2.5
    assert run(resource.handle).dtype.names == ("resource",)


def leaves(structure):
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, list | tuple):
        return [leaf for part in structure for leaf in leaves(part)]
    return [structure]


GRAPH = tf.Graph()
with GRAPH.as_default():
    CONSTANTS = [tf.constant(float(i)) for i in range(4)]
VALUES = dict(zip(CONSTANTS, range(4), strict=True))


@given(
    st.recursive(
        st.sampled_from(CONSTANTS),
        lambda part: (
            st.lists(part, max_size=3)
            | st.lists(part, max_size=3).map(tuple)
            | st.tuples(part, part).map(lambda pair: Point(*pair))
            | st.dictionaries(st.integers(0, 3), part, max_size=3)
        ),
    )
)
def test_any_structure_comes_back_in_its_shape(structure):
    fetch_map = FetchMap(GRAPH, structure)
    found = fetch_map.rebuild_from()([VALUES[element] for element in fetch_map.elements])
    assert leaves(found) == [VALUES[leaf] for leaf in leaves(structure)]
    assert len(set(fetch_map.elements)) == len(fetch_map.elements)

    def skeleton(part):
        if isinstance(part, dict):
            return type(part), [(key, skeleton(item)) for key, item in part.items()]
        if isinstance(part, list | tuple):
            return type(part), [skeleton(item) for item in part]
        return None

    assert skeleton(found) == skeleton(structure)
