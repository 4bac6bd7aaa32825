"""Products of matrices and vectors: types, batches, transposes, gradients, errors, the operator."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import COMPLEX, FLOATS, Row, case_name, check_row, floats, row_cases

TYPES = (*FLOATS, "int32", "int64", *COMPLEX)


def product(a, b, transpose_a=False, transpose_b=False, adjoint_a=False, adjoint_b=False, **_):
    kind = {"f": np.float64, "V": np.float64}.get(a.dtype.kind, a.dtype)

    def turned(x, transpose, adjoint):
        x = x.astype(kind)
        x = x.conj() if adjoint else x
        return x.swapaxes(-1, -2) if transpose or adjoint else x

    return turned(a, transpose_a, adjoint_a) @ turned(b, transpose_b, adjoint_b)


def raw(op_type, **attrs):
    """Builds the op itself."""
    return lambda tf_, x, y: (
        create_op(op_type, [x, y], attrs)
        if tf_ is tf
        else getattr(tf_.raw_ops, op_type)(
            **dict(zip("xy" if "Batch" in op_type else "ab", (x, y), strict=True)), **attrs
        )
    )


TURNS = [
    (turn_a, turn_b, kind)
    for kind in ("transpose", "adjoint")
    for turn_a, turn_b in ((True, False), (False, True), (True, True))
]


def turned_rows(op, batch_a, batch_b):
    """A row for each way to turn the two matrices."""
    for turn_a, turn_b, kind in TURNS:
        a = floats(*batch_a, *((4, 3) if turn_a else (3, 4)))
        b = floats(*batch_b, *((2, 4) if turn_b else (4, 2)))
        kwargs = {f"{kind}_a": turn_a, f"{kind}_b": turn_b}
        dtypes = ["float32", "complex64"]
        label = f"{kind}{turn_a:d}{turn_b:d}"
        yield Row(op, "matmul", [a, b], kwargs, dtypes=dtypes, reference=product, grad=True,
                  label=label)  # fmt: skip


ROWS = [
    Row("MatMul", "matmul", [floats(3, 5), floats(5, 2)], dtypes=TYPES, reference=product,
        grad=True),
    Row("MatMul", "linalg.matmul", [floats(1, 1), floats(1, 1)], label="one"),
    Row("MatMul", "matmul", [floats(2, 0), floats(0, 3)], dtypes=TYPES, label="empty"),
    Row("MatMul", "matmul", [floats(0, 3), floats(3, 2)], label="no_rows"),
    *turned_rows("MatMul", (), ()),
    Row("MatMul", lambda tf, x, y: x @ y, [floats(3, 5), floats(5, 2)], grad=True,
        reference=product, label="operator"),
    Row("MatMul", lambda tf, y: [[1.0, 2.0, 3.0]] @ y, [floats(3, 5)], grad=True,
        label="reflected", dtypes=["float32", "float64"]),
    Row("SparseMatMul", "matmul", [floats(3, 5), floats(5, 2)], {"a_is_sparse": True},
        dtypes=["float32"], reference=product, label="hint"),
    Row("SparseMatMul", "matmul", [floats(5, 3), floats(2, 5)],
        {"b_is_sparse": True, "transpose_a": True, "transpose_b": True}, dtypes=["bfloat16"],
        reference=product, label="bfloat16"),
    Row("SparseMatMul", "sparse_matmul", [floats(3, 5), floats(5, 2, dtype="bfloat16")],
        label="mixed"),
    Row("MatMul", "matmul", [floats(3, 5), floats(5, 2)], {"a_is_sparse": True},
        dtypes=["float64", "int32"], label="unused_hint"),
    Row("BatchMatMulV2", "matmul", [floats(4, 3, 5), floats(4, 5, 2)], dtypes=TYPES,
        reference=product, grad=True),
    Row("BatchMatMulV2", raw("BatchMatMulV2"), [floats(2, 3, 5), floats(2, 5, 2)],
        dtypes=["int16"], label="int16"),
    *turned_rows("BatchMatMulV2", (2,), (2,)),
    *turned_rows("BatchMatMulV2", (2, 1), (3,)),
    Row("BatchMatMulV2", "matmul", [floats(4, 3, 5), floats(5, 2)], grad=True, reference=product,
        label="one_right"),
    Row("BatchMatMulV2", "matmul", [floats(3, 5), floats(2, 4, 5, 2)], grad=True,
        reference=product, label="one_left"),
    Row("BatchMatMulV2", "matmul", [floats(0, 3, 5), floats(5, 2)], label="no_batch"),
    Row("BatchMatMulV2", "matmul", [floats(2, 3, 0), floats(2, 0, 4)], label="empty"),
    Row("BatchMatMul", raw("BatchMatMul"), [floats(4, 3, 5), floats(4, 5, 2)], dtypes=TYPES,
        reference=product, grad=True),
    Row("BatchMatMul", raw("BatchMatMul", adj_x=True, adj_y=True),
        [floats(2, 5, 3), floats(2, 2, 5)], dtypes=["float32", "complex64"], grad=True,
        label="adjoint"),
    Row("BatchMatMulV3", "matmul", [floats(3, 5, low=-99, high=99), floats(5, 2, high=99)],
        {"output_type": "int32"}, dtypes=["int8", "uint8"], label="widening"),
    Row("BatchMatMulV3", raw("BatchMatMulV3", Tout=3),
        [floats(2, 3, 5, low=-99, high=99), floats(5, 2, dtype="uint8")], dtypes=["int8"],
        label="mixed"),
    Row("BatchMatMulV3", raw("BatchMatMulV3", Tout=1), [floats(2, 3, 5), floats(1, 5, 2)],
        grad=False, reference=product, label="float32"),
    Row("BatchMatMulV3", raw("BatchMatMulV3", Tout=14, adj_x=True),
        [floats(2, 5, 3), floats(5, 2)], dtypes=["bfloat16"], label="bfloat16"),
    Row("BatchMatMulV3", raw("BatchMatMulV3", Tout=8, adj_x=True),
        [floats(2, 5, 3), floats(5, 2)], dtypes=["complex64"], label="complex"),
    Row("MatMul", "linalg.matvec", [floats(3, 5), floats(5)], grad=True, label="matvec",
        reference=lambda a, b: a @ b),
    Row("BatchMatMulV2", "linalg.matvec", [floats(4, 5, 3), floats(4, 5)], {"transpose_a": True},
        grad=True, label="matvec"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def run(*outputs):
    with tf.Session(graph=outputs[0].graph) as session:
        return session.run(outputs)


@pytest.mark.parametrize(
    ("a", "b", "kwargs", "text"),
    [
        ([2, 3], [2, 3], {}, "Dimensions must be equal, but are 3 and 2 for '{{node MatMul}}"),
        ([2], [2, 3], {}, "Shape must be rank 2 but is rank 1 for '{{node MatMul}}"),
        (None, [2], {}, "Shape must be at least rank 2 but is rank 1"),
        ([7, 2, 3], [6, 3, 4], {}, "Dimensions must be equal, but are 7 and 6"),
        ([7, 2, 3], [7, 2, 3], {}, "Dimensions must be equal, but are 3 and 2"),
        ([2, 3], [2, 3], {"transpose_a": True, "adjoint_a": True},
         "Only one of `transpose_a` and `adjoint_a` can be True."),
        ([2, 3], [2, 3], {"transpose_b": True, "adjoint_b": True},
         "Only one of `transpose_b` and `adjoint_b` can be True."),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(fresh_graph, a, b, kwargs, text):
    a, b = tf.placeholder("float32", a), tf.placeholder("float32", b)
    with pytest.raises(ValueError) as error:
        tf.matmul(a, b, **kwargs)
    assert text in str(error.value)
    assert len(fresh_graph.get_operations()) == 2


@pytest.mark.usefixtures("fresh_graph")
def test_types_that_do_not_fit():
    x = tf.placeholder("float32", [2, 3])
    with pytest.raises(TypeError, match="type float64 that does not match type float32"):
        tf.matmul(x, tf.placeholder("float64", [3, 2]))
    with pytest.raises(TypeError, match="Value passed to parameter 'a' has DataType int8"):
        tf.matmul(*[tf.placeholder("int8", [2, 2])] * 2)
    with pytest.raises(TypeError, match="Input 'b' of 'MatMul' Op has type string"):
        x @ "a"


@pytest.mark.parametrize(
    ("op_type", "a", "b", "text"),
    [
        ("MatMul", [2, 3], [2, 3], "Matrix size-incompatible: In[0]: [2,3], In[1]: [2,3]"),
        ("MatMul", [3], [2, 3], "In[0] and In[1] has different ndims: [3] vs. [2,3]"),
        ("MatMul", [2, 3, 1], [2, 3, 1], "In[0] and In[1] ndims must be == 2: 3"),
        ("BatchMatMul", [2, 2, 3], [3, 3, 1],
         "In[0].dim(0) and In[1].dim(0) must be the same: [2,2,3] vs [3,3,1]"),
        ("BatchMatMul", [2, 2, 3], [3, 1], "has different ndims: [2,2,3] vs. [3,1]"),
        ("BatchMatMulV2", [2, 2, 3], [3, 3, 1],
         "In[0] and In[1] must have compatible batch dimensions: [2,2,3] vs. [3,3,1]"),
        ("BatchMatMulV2", [2, 2, 3], [2, 4, 1],
         "Matrix size-incompatible: In[0]: [2,2,3], In[1]: [2,4,1]"),
        ("BatchMatMulV2", [3], [2, 4, 1], "In[0] ndims must be >= 2: 1"),
        ("BatchMatMulV2", [2, 4, 1], [3], "In[1] ndims must be >= 2: 1"),
        ("SparseMatMul", [2, 3], [2, 3], "Matrix size incompatible: a: [2,3], b: [2,3]"),
        ("SparseMatMul", [2, 3, 1], [2, 3], "a is not a matrix"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit_at_run_time(fresh_graph, op_type, a, b, text):
    inputs = [tf.placeholder_with_default(np.ones(s, np.float32), None) for s in (a, b)]
    result = create_op(op_type, inputs)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        run(result)
    assert text in str(error.value)


@pytest.mark.usefixtures("fresh_graph")
def test_static_shapes():
    def shape(a, b, **kwargs):
        a, b = tf.placeholder("float32", a), tf.placeholder("float32", b)
        result = tf.matmul(a, b, **kwargs)
        return None if result.shape.rank is None else result.shape.as_list()

    assert shape([None, 3], [None, 4]) == [None, 4]
    assert shape([7, 1, 2, 3], [None, 3, 4]) == [7, None, 2, 4]
    assert shape([None, 2, 3], [5, 3, 4]) == [5, 2, 4]
    assert shape([2, 3], [4, 3], transpose_b=True) == [2, 4]
    assert shape(None, [2, 3]) is None


@pytest.mark.usefixtures("fresh_graph")
def test_halves_are_multiplied_in_wider_floats():
    for dtype in (np.float16, ml_dtypes.bfloat16):
        ones = np.ones([1, 5000], dtype)
        (result,) = run(tf.matmul(ones, ones, transpose_b=True))
        assert result == np.float32(5000).astype(dtype)


@pytest.mark.usefixtures("fresh_graph")
def test_integers_wrap_around():
    (result,) = run(tf.matmul([[2**30, 2**30]], [[3], [3]]))
    assert result.tolist() == [[-(2**31)]]


def test_broadcast_batches_have_gradients_without_static_shapes():
    """Gradients of fed shapes are those of known ones."""
    x, y = np.random.default_rng(3).normal(size=[2, 1, 3, 4]), np.ones([5, 4, 2])
    results = []
    for hidden in (None, "known"):
        with tf.Graph().as_default():
            a = tf.placeholder_with_default(x, hidden and x.shape)
            b = tf.placeholder_with_default(y, hidden and y.shape)
            c = tf.matmul(a, b)
            results.append(run(*tf.gradients(c * c, [a, b])))
    for mine, known in zip(*results, strict=True):
        np.testing.assert_allclose(mine, known)


@pytest.mark.parametrize("sparse", ["a", "b"])
def test_sparse_products_have_the_gradients_of_dense_ones(sparse):
    results = []
    for hints in ({}, {f"{sparse}_is_sparse": True}):
        with tf.Graph().as_default():
            a = tf.constant(np.arange(6, dtype=np.float32).reshape(3, 2))
            b = tf.constant(np.arange(12, dtype=np.float32).reshape(4, 3))
            c = tf.matmul(a, b, transpose_a=True, transpose_b=True, **hints)
            results.append(run(*tf.gradients(c * c, [a, b])))
    for mine, known in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, known)


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(0, 5)] * 3),
    batches=st.sampled_from([((), ()), ((2,), (2,)), ((2,), ()), ((1, 3), (2, 1)), ((0,), (1,))]),
    turns=st.tuples(st.booleans(), st.booleans()),
)
def test_any_sizes(sizes, batches, turns):
    """Products of any sizes, batches and turns are NumPy's."""
    rows, inner, columns = sizes
    rng = np.random.default_rng(0)
    a = rng.normal(size=(*batches[0], *((inner, rows) if turns[0] else (rows, inner))))
    b = rng.normal(size=(*batches[1], *((columns, inner) if turns[1] else (inner, columns))))
    with tf.Graph().as_default():
        c = tf.matmul(a, b, transpose_a=turns[0], transpose_b=turns[1])
        (result,) = run(c)
    wanted = product(a, b, *turns)
    assert c.shape.as_list() == list(wanted.shape)
    np.testing.assert_allclose(result, wanted, atol=1e-12)
