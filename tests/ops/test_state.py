"""Variables as operations: updates, scatters, reads, initialization, and their errors."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op

SCATTERS = ("Add", "Sub", "Mul", "Div", "Min", "Max", "Update")
ND_SCATTERS = ("Add", "Sub", "Min", "Max", "Update")

# Ops on state cannot be rows: what they compute depends on a variable. The tables below cover them.
COVERED = [
    *("VariableV2", "Variable", "TemporaryVariable", "DestroyTemporaryVariable"),
    *("IsVariableInitialized", "Assign", "AssignAdd", "AssignSub", "CountUpTo"),
    *("VarHandleOp", "ReadVariableOp", "AssignVariableOp", "AssignAddVariableOp"),
    *("AssignSubVariableOp", "VarIsInitializedOp", "DestroyResourceOp", "VariableShape"),
    "DisableCopyOnRead",
    *("ResourceGather", "ResourceGatherNd"),
    *(f"{kind}{name}" for kind in ("Scatter", "ResourceScatter") for name in SCATTERS),
    *(f"{kind}{name}" for kind in ("ScatterNd", "ResourceScatterNd") for name in ND_SCATTERS),
]
KINDS = pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
DTYPES = ("float16", "bfloat16", "float32", "float64", "int32", "int64", "complex64")
START = [[1, 2], [3, 4], [5, 6], [7, 8]]


def _handle(variable):
    return variable.handle if hasattr(variable, "handle") else variable._ref()


def _run(use_resource, device, update, value=START, dtype="float32"):
    """The value of a variable after an operation on its handle or reference."""
    with tf.Graph().as_default() as graph, tf.device(device):
        variable = tf.Variable(np.array(value, tf.as_dtype(dtype).as_numpy_dtype),
                               use_resource=use_resource)  # fmt: skip
        op = update(_handle(variable), "Resource" if use_resource else "")
        config = tf.ConfigProto(allow_soft_placement=True)
        with tf.Session(graph=graph, config=config) as session:
            session.run(variable.initializer)
            session.run(op.op if isinstance(op, tf.Tensor) else op)
            return session.run(variable)


def _expected(name, start, indices, updates):
    result = start.copy()
    if name == "Update":
        result[indices] = updates
        return result
    ufunc = {
        "Add": np.add,
        "Sub": np.subtract,
        "Mul": np.multiply,
        "Div": np.divide,
        "Min": np.minimum,
        "Max": np.maximum,
    }[name]
    for where, row in zip(indices, updates, strict=True):
        result[where] = ufunc(result[where], row).astype(start.dtype)
    return result


@KINDS
@pytest.mark.parametrize("index_type", [np.int32, np.int64])
@pytest.mark.parametrize("name", SCATTERS)
def test_scatter(device, use_resource, name, index_type):
    indices = np.array([2, 0, 2] if name != "Update" else [2, 0, 3], index_type)
    updates = np.array([[2, 4], [8, 2], [4, 2]], np.float32)
    found = _run(
        use_resource,
        device,
        lambda ref, kind: create_op(f"{kind}Scatter{name}", [ref, indices, updates]),
    )
    wanted = _expected(name, np.array(START, np.float32), indices, updates)
    np.testing.assert_array_equal(found, wanted)


@KINDS
@pytest.mark.parametrize("name", ND_SCATTERS)
def test_scatter_nd(device, use_resource, name):
    indices = np.array([[3, 0], [1, 1]], np.int32)
    updates = np.array([20, -3], np.float32)
    found = _run(
        use_resource,
        device,
        lambda ref, kind: create_op(f"{kind}ScatterNd{name}", [ref, indices, updates]),
    )
    start = np.array(START, np.float32)
    wanted = start.copy()
    for where, value in zip([(3, 0), (1, 1)], updates, strict=True):
        wanted[where] = _expected(name, start[where][None], [0], [value])[0]
    np.testing.assert_array_equal(found, wanted)


@KINDS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "sign"), [("Add", 1), ("Sub", -1)])
def test_assign_add_and_sub(device, use_resource, dtype, name, sign):
    delta = np.array(START, tf.as_dtype(dtype).as_numpy_dtype)

    def update(ref, kind):
        op_type = f"Assign{name}VariableOp" if kind else f"Assign{name}"
        return create_op(op_type, [ref, delta])

    found = _run(use_resource, device, update, dtype=dtype)
    assert found.dtype == delta.dtype
    np.testing.assert_array_equal(found, delta + delta if sign == 1 else delta - delta)


@KINDS
def test_values_read_before_and_after(fresh_graph, device, use_resource):
    """A reference shows a later assignment of the step; a resource read is a snapshot."""
    with tf.device(device):
        v = tf.Variable([1.0], use_resource=use_resource)
        before = v.read_value()
        with tf.control_dependencies([before]):
            assigned = v.assign([10.0])
        with tf.control_dependencies([tf.convert_to_tensor(assigned).op]):
            late = before + 0.0
    with tf.Session() as session:
        session.run(v.initializer)
        assert session.run(late).tolist() == ([1.0] if use_resource else [10.0])


def test_a_variable_keeps_its_value_from_run_to_run(fresh_graph, device):
    with tf.device(device):
        v = tf.Variable(1.0)
        up = v.assign_add(2.0)
    with tf.Session() as first, tf.Session() as second:
        for session in (first, second):
            session.run(tf.global_variables_initializer())
        assert [first.run(up) for _ in range(3)] == [3.0, 5.0, 7.0]
        assert second.run(v) == 1.0


@KINDS
def test_variables_with_one_shared_name_are_one(fresh_graph, use_resource):
    attrs = {"dtype": tf.float32, "shape": [], "shared_name": "both"}
    kind = "VarHandleOp" if use_resource else "VariableV2"
    one, other = create_op(kind, [], attrs), create_op(kind, [], attrs)
    if use_resource:
        set_one = create_op("AssignVariableOp", [one, 5.0])
        read_other = create_op("ReadVariableOp", [other], {"dtype": tf.float32})
    else:
        set_one, read_other = tf.assign(one, 5.0).op, tf.identity(other)
    with tf.Session() as session:
        session.run(set_one)
        assert session.run(read_other) == 5.0


def test_gathers_of_a_resource(fresh_graph, device):
    with tf.device(device):
        v = tf.Variable(START, dtype=tf.float32, use_resource=True)
        rows = v.sparse_read([3, 0])
        items = v.gather_nd([[1, 1], [2, 0]])
        shape = create_op("VariableShape", [v.handle])
    assert rows.shape.as_list() == [2, 2]
    assert items.shape.as_list() == [2]
    with tf.Session() as session:
        session.run(v.initializer)
        got = session.run([rows, items, shape])
    assert [a.tolist() for a in got] == [[[7, 8], [1, 2]], [4, 5], [4, 2]]
    assert got[2].dtype == np.int32


@KINDS
def test_is_initialized(fresh_graph, use_resource):
    v = tf.Variable(1.0, use_resource=use_resource)
    asked = tf.is_variable_initialized(v)
    with tf.Session() as session:
        assert session.run(asked) == np.False_
        session.run(v.initializer)
        assert session.run(asked) == np.True_


def test_what_turns_off_a_way_to_copy_changes_nothing(fresh_graph):
    v = tf.Variable([1.0], use_resource=True)
    with tf.Session() as session:
        session.run(v.initializer)
        session.run(create_op("DisableCopyOnRead", [v.handle]))
        before = session.run(v)
        session.run(v.assign_add([1.0]))
        assert before == [1] and session.run(v) == [2]


def test_destroying_a_resource(fresh_graph):
    v = tf.Variable(1.0, use_resource=True)
    quiet = create_op("DestroyResourceOp", [v.handle])
    strict = create_op("DestroyResourceOp", [v.handle], {"ignore_lookup_error": False})
    with tf.Session() as session:
        session.run(quiet)
        with pytest.raises(tf.errors.NotFoundError, match="does not exist"):
            session.run(strict)
        session.run(v.initializer)
        session.run(strict)
        with pytest.raises(tf.errors.FailedPreconditionError):
            session.run(v)
        session.run(v.initializer)
        assert session.run(v) == 1.0


def test_temporary_variable(fresh_graph):
    t = create_op("TemporaryVariable", [], {"shape": [2], "dtype": tf.float32, "var_name": "t"})
    filled = tf.assign(t, [1.0, 2.0])
    final = create_op("DestroyTemporaryVariable", [filled], {"var_name": "t"})
    with tf.Session() as session:
        assert session.run(final).tolist() == [1.0, 2.0]


def test_variable_of_the_first_release(fresh_graph):
    v = create_op("Variable", [], {"shape": [2], "dtype": tf.float32})
    with tf.Session() as session:
        assert session.run(tf.assign(v, [1.0, 2.0])).tolist() == [1.0, 2.0]


def test_count_up_to(fresh_graph):
    v = tf.Variable(0, dtype=tf.int32)
    counted = tf.count_up_to(v, 2)
    with tf.Session() as session:
        session.run(v.initializer)
        assert [int(session.run(counted)) for _ in range(2)] == [0, 1]
        with pytest.raises(tf.errors.OutOfRangeError, match="Reached limit of 2"):
            session.run(counted)
        assert session.run(v) == 2


RUNTIME_ERRORS = [
    # (reference or resource, operation, error, key phrase)
    (False, lambda v, p: tf.identity(v._ref()), "FailedPrecondition", "Attempting to use uninit"),
    (False, lambda v, p: tf.assign_add(v, p), "FailedPrecondition", "Attempting to use uninit"),
    (True, lambda v, p: v.read_value(), "FailedPrecondition", "Could not find variable v"),
    (True, lambda v, p: v.assign_add(p, read_value=False), "NotFound", "Resource localhost/v/N10"),
]


@pytest.mark.parametrize("row", RUNTIME_ERRORS)
def test_use_before_initialization(fresh_graph, device, row):
    use_resource, build, error, phrase = row
    with tf.device(device):
        v = tf.Variable([1.0], use_resource=use_resource, name="v")
        op = build(v, [1.0])
    with tf.Session() as session:
        with pytest.raises(getattr(tf.errors, error + "Error"), match=phrase):
            session.run(op)
        session.run(v.initializer)
        session.run(op)


@KINDS
def test_a_runtime_shape_that_does_not_match_changes_nothing(fresh_graph, device, use_resource):
    with tf.device(device):
        v = tf.Variable([1.0, 2.0], use_resource=use_resource)
        p = tf.placeholder(tf.float32)
        assign, add = v.assign(p, read_value=False), v.assign_add(p, read_value=False)
    phrase = {
        False: r"requires shapes of both tensors to match. lhs shape= \[2\] rhs shape= \[1\]",
        True: r"assign to variable with tensor with wrong shape. Expected \[2\] got \[1\]",
    }[use_resource]
    with tf.Session() as session:
        session.run(v.initializer)
        with pytest.raises(tf.errors.InvalidArgumentError, match=phrase):
            session.run(assign, {p: [5.0]})
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(add, {p: [5.0]})
        assert session.run(v).tolist() == [1.0, 2.0]


@KINDS
def test_an_index_out_of_range_changes_nothing(fresh_graph, use_resource):
    with tf.device("/cpu:0"):
        v = tf.Variable([1.0, 2.0, 3.0], use_resource=use_resource)
        bad = tf.scatter_add(v, [0, 5], [1.0, 1.0])
    with tf.Session() as session:
        session.run(v.initializer)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"= 5 is not in \[0, 3\)"):
            session.run(bad)
        assert session.run(v).tolist() == [1.0, 2.0, 3.0]


STATIC_ERRORS = [
    (lambda: tf.Variable([1.0, 2.0]).assign([1.0]), ValueError, "must be equal, but are 2 and 1"),
    (
        lambda: tf.Variable([1.0, 2.0], use_resource=True, name="u").assign([1.0]),
        ValueError,
        "Cannot assign value to variable ' u:0': Shape mismatch",
    ),
    (lambda: tf.assign(tf.constant(1.0), 2.0), AttributeError, "assign"),
    (lambda: tf.Variable(), ValueError, "initial_value must be specified"),
    (lambda: tf.Variable(tf.placeholder(tf.float32)), ValueError, "must have a shape specified"),
    (lambda: tf.Variable(1.0, collections="x"), ValueError, "collections argument"),
    (lambda: tf.Variable(1.0, constraint=3), ValueError, "must be a callable"),
]


@pytest.mark.parametrize("row", STATIC_ERRORS, ids=[row[2] for row in STATIC_ERRORS])
def test_errors_while_building(fresh_graph, row):
    build, error, phrase = row
    with pytest.raises(error, match=phrase):
        build()


def test_validate_shape_false_allows_another_shape(fresh_graph):
    v = tf.Variable([1.0, 2.0], validate_shape=False)
    p = tf.placeholder(tf.float32)
    resized = tf.assign(v, p, validate_shape=False)
    with tf.Session() as session:
        session.run(v.initializer)
        session.run(resized.op, {p: [[1.0], [2.0], [3.0]]})
        assert session.run(v).shape == (3, 1)


def test_load_and_eval(fresh_graph):
    v = tf.Variable([1.0, 2.0])
    with tf.Session() as session:
        v.load([3.0, 4.0], session)
        assert v.eval().tolist() == [3.0, 4.0]


@KINDS
def test_fetched_variables_do_not_change_later(fresh_graph, device, use_resource):
    with tf.device(device):
        v = tf.Variable([1.0, 2.0], use_resource=use_resource)
        up = v.assign_add([1.0, 1.0])
    with tf.Session() as session:
        session.run(v.initializer)
        first = session.run(v)
        second = session.run(up)
        session.run(up)
    assert (first.tolist(), second.tolist()) == ([1.0, 2.0], [2.0, 3.0])


def test_a_resource_variable_is_no_value_to_feed(fresh_graph):
    x = tf.placeholder(tf.float32, [])
    v = tf.Variable(1.0, use_resource=True)
    with tf.Session() as session, pytest.raises(NotImplementedError, match="eager execution"):
        session.run(x, {x: v})


def test_containers_keep_variables_apart(fresh_graph):
    values = []
    for name in ("a", "b"):
        with fresh_graph.container(name):
            attrs = {"dtype": tf.float32, "shape": [], "shared_name": "v"}
            values.append(create_op("VariableV2", [], attrs))
    with tf.Session() as session:
        session.run([tf.assign(values[0], 1.0).op, tf.assign(values[1], 2.0).op])
        assert session.run(values) == [1.0, 2.0]


def test_references_to_variables(fresh_graph):
    for use_resource in (False, True):
        variable = tf.Variable([[1.0, 2.0], [3.0, 4.0]], use_resource=use_resource)
        assert variable.ref() == variable.experimental_ref()
        assert variable.ref().deref() is variable
        assert len({variable.ref(), variable.ref(), tf.constant(1).ref()}) == 2
