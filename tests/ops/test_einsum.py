"""Einstein's summation and contractions: NumPy's answers, static shapes, gradients and errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import COMPLEX, FLOATS, Row, case_name, check_row, floats, row_cases

TYPES = (*FLOATS, "int32", "int64", *COMPLEX)


def einsum(equation, *shapes, label="", dtypes=("float32",), grad=True):
    """A row for one equation, with NumPy's answer."""

    def reference(*arrays):
        kind = np.complex128 if arrays[0].dtype.kind == "c" else np.float64
        return np.einsum(equation, *(array.astype(kind) for array in arrays))

    return Row("Einsum", lambda tf, *tensors: tf.einsum(equation, *tensors),
               [floats(*shape) for shape in shapes], dtypes=dtypes, reference=reference,
               grad=grad, label=label or equation)  # fmt: skip


def raw(equation, *shapes):
    """A row for the op itself, which allows more than the builder."""

    def build(tf_, *tensors):
        if tf_ is tf:
            return create_op("Einsum", [list(tensors)], {"equation": equation})
        return tf_.raw_ops.Einsum(inputs=list(tensors), equation=equation)

    return Row("Einsum", build, [floats(*shape) for shape in shapes], grad=True,
               label=f"raw {equation}")  # fmt: skip


def tensordot(axes, *shapes, label, **kwargs):
    """A row for `tensordot`, with NumPy's answer."""
    return Row("MatMul", "tensordot", [floats(*shape) for shape in shapes], {"axes": axes},
               reference=np.tensordot, label=label, **kwargs)  # fmt: skip


ROWS = [
    einsum("ij,jk->ik", (2, 3), (3, 4), dtypes=TYPES),
    einsum("ij,jk", (2, 3), (3, 4)),
    einsum("bij,bjk->bik", (2, 3, 4), (2, 4, 5), dtypes=TYPES),
    einsum("bji,bjk->kbi", (2, 3, 4), (2, 3, 5)),
    einsum("i,i->", (5,), (5,)),
    einsum("i,j->ji", (2,), (3,)),
    einsum("ij,ij->ij", (2, 3), (2, 3)),
    einsum("ij,i->ij", (2, 3), (2,)),
    einsum("ijk,jil->kl", (2, 3, 4), (3, 2, 5)),
    einsum("ij,kl->i", (2, 3), (4, 5)),
    einsum("abc,cd->", (2, 3, 4), (4, 5)),
    einsum("ij->ji", (2, 3), dtypes=TYPES),
    einsum("ijk->j", (2, 3, 4)),
    einsum("ij->", (2, 3)),
    einsum("ii->i", (3, 3)),
    einsum("ii->", (3, 3)),
    einsum("iij->j", (3, 3, 2)),
    einsum("iji,i->j", (3, 2, 3), (3,)),
    einsum(",->", (), ()),
    einsum("->", ()),
    einsum(",i->i", (), (3,)),
    einsum("...ij,...jk->...ik", (5, 2, 3), (5, 3, 4)),
    einsum("...ij,...jk->...ik", (5, 1, 2, 3), (4, 3, 4), label="broadcasting"),
    einsum("...ij,jk->...ik", (5, 6, 2, 3), (3, 4)),
    einsum("ij...,jk...->...ik", (2, 3, 5), (3, 4, 6, 1)),
    einsum("...i->...", (2, 3)),
    einsum("i...j->...", (2, 4, 3)),
    einsum("...ii->...i", (2, 3, 3)),
    einsum("b...a", (3, 5, 2)),
    einsum("...,...->...", (3, 1), (1, 2)),
    einsum("...i,...i->...", (1, 3), (2, 3)),
    einsum("ab,bc,cd->ad", (2, 3), (3, 4), (4, 5)),
    einsum("bij,bjk,bkl->bil", (2, 3, 4), (2, 4, 5), (2, 5, 6)),
    einsum("...i,...j,...k->...ijk", (5, 2), (5, 3), (5, 4)),
    einsum("ij,jk,ki->", (9, 2), (2, 8), (8, 9)),
    einsum("ij,jk->ik", (0, 3), (3, 4), label="no_rows", grad=False),
    einsum("ij,jk->ik", (2, 0), (0, 4), label="nothing", grad=False),
    raw("i->ii", (3,)),
    raw("i,j->iji", (3,), (2,)),
    raw("iij,i->iij", (3, 3, 2), (3,)),
    Row("Einsum", lambda tf, *t: tf.linalg.einsum(" ij , jk -> ik ", *t, name="foo"),
        [floats(2, 3), floats(3, 4)], label="name"),
    tensordot(1, (2, 3), (3, 4), label="tensordot", grad=True),
    tensordot(2, (2, 3, 5), (3, 5, 4), label="tensordot_two"),
    tensordot(0, (2, 3), (4,), label="tensordot_outer", grad=True),
    tensordot([[1, 2], [1, 0]], (2, 3, 5), (5, 3, 4), label="tensordot_lists", grad=True),
    tensordot([0, 1], (2, 3), (3, 2), label="tensordot_axes"),
    tensordot([[-1], [-2]], (2, 3), (4, 3, 5), label="tensordot_negative"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def run(*outputs):
    with tf.Session(graph=outputs[0].graph) as session:
        return session.run(outputs)


@pytest.mark.parametrize(
    ("equation", "shapes", "text"),
    [
        ("ij,jk->ik", [(2, 3), (4, 4)], "Dimensions must be equal, but are 3 and 4"),
        ("ij,jk->ik", [(2, 3)], 'Got 1 inputs for equation "ij,jk->ik", expecting 2'),
        ("ij,jk->il", [(2, 3), (3, 4)], "Output subscripts contain the label l not present in"),
        ("ij->iij", [(2, 3)], "Output subscripts contain a label appearing more than once: ij->"),
        ("ij->i->j", [(2, 3)], "Subscripts have incorrect format: ij->i->j"),
        ("i$->i", [(2, 3)], "Subscripts have incorrect format: i$->i"),
        ("ij.->i", [(2, 3)], "Subscripts have incorrect format: ij.->i"),
        ("ijk->i", [(2, 3)], "Shape must be rank 3 but is rank 2\n\t for 0th input and equation"),
        ("ijk...->i", [(2, 3)], "Shape must be at least rank 3 but is rank 2"),
        ("...i->i", [(2, 3)], "without ellipsis (...) in the output subscripts"),
        ("a...b...->a", [(3, 3, 2)], "Expected at most one ellipsis (...), but found 6 periods"),
        ("...i,...i->...i", [(3, 2), (4, 2)], "Dimensions must be equal, but are 3 and 4"),
    ],
)
def test_equations_that_do_not_fit(fresh_graph, equation, shapes, text):
    tensors = [tf.placeholder("float32", shape) for shape in shapes]
    with pytest.raises(ValueError) as error:
        tf.einsum(equation, *tensors)
    assert text in str(error.value)
    assert "Einsum" not in {op.type for op in fresh_graph.get_operations()}


@pytest.mark.parametrize(
    ("equation", "shapes", "text"),
    [
        ("ij,jk->ik", [(2, 3), (2, 3)],
         "Expected dimension 3 at axis 0 of the input shaped [2,3] but got dimension 2"),
        ("ij->ji", [(2, 3, 1)], "Expected input 0 to have rank 2 but got: 3"),
        ("ii->i", [(2, 3)], "Expected dimension 2 at axis 1 of the input shaped [2,3] but got"),
        ("...i->...", [()], "Expected input 0 to have rank at least 1 but got: 0"),
        ("...i,...i->...i", [(3, 2), (4, 2)], "Invalid broadcasting dimensions: [3,2"),
        ("...i->i", [(3, 2)], "Output contains 1 broadcasting dimension(s) but no ellipsis"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit_at_run_time(fresh_graph, equation, shapes, text):
    tensors = [tf.placeholder_with_default(np.ones(s, np.float32), None) for s in shapes]
    result = tf.einsum(equation, *tensors)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        run(result)
    assert text in str(error.value)


@pytest.mark.usefixtures("fresh_graph")
def test_wrong_arguments():
    x = tf.placeholder("float32", [2, 3])
    with pytest.raises(TypeError, match="Invalid keyword arguments for einsum: foo"):
        tf.einsum("ij->ji", x, foo=1)
    for axes, text in (
        (-1, "`axes` must be at least 0. Received: -1."),
        (3, "`axes` must not be larger than the number of dimensions"),
        ([[0, 1], [0]], "Different number of contraction axes `a` and `b`, 2 != 1."),
        ([[0, 1]], r"`axes` must be an integer or have length 2. Received \[\[0, 1\]\]."),
        (1, "Dimensions must be equal, but are 3 and 4"),
    ):
        with pytest.raises(ValueError, match=text):
            tf.tensordot(x, tf.placeholder("float32", [4, 5]), axes)


@pytest.mark.usefixtures("fresh_graph")
def test_static_shapes():
    x, y = tf.placeholder("float32", [None, 3]), tf.placeholder("float32", [3, None])
    unknown = tf.placeholder("float32")
    assert tf.einsum("ij,jk->ik", x, y).shape.as_list() == [None, None]
    assert tf.einsum("ij,jk->kj", unknown, y).shape.as_list() == [None, 3]
    assert tf.einsum("...i->...", unknown).shape.rank is None
    assert tf.tensordot(x, y, 1).shape.as_list() == [None, None]
    assert tf.tensordot(x, tf.placeholder("float32", [3, 5]), [[1], [0]]).shape.as_list() == [
        None,
        5,
    ]
    assert tf.tensordot(unknown, y, 1).shape.rank is None


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("...ij,...jk->...ik", [(5, 1, 2, 3), (4, 3, 4)]),
        ("...ij,jk->...ik", [(2, 3), (3, 4)]),
        ("i...j->...", [(2, 4, 3)]),
        ("i...,i->...", [(2, 4, 3), (2,)]),
        ("ijj->i", [(2, 3, 3)]),
        ("i...jk->k...", [(2, 4, 3, 2)]),
    ],
)
def test_gradients_do_not_need_static_shapes(equation, shapes):
    rng = np.random.default_rng(5)
    arrays = [rng.normal(size=shape) for shape in shapes]
    results = []
    for hidden in (True, False):
        with tf.Graph().as_default():
            tensors = [tf.placeholder_with_default(a, None if hidden else a.shape) for a in arrays]
            y = tf.einsum(equation, *tensors)
            first = tf.gradients(y * y, tensors)
            second = tf.gradients([g * g for g in first], tensors)
            results.append(run(*first, *second))
    for mine, known in zip(*results, strict=True):
        np.testing.assert_allclose(mine, known)


@pytest.mark.parametrize("axes", [2, [[1, 2], [0, 1]], [[-2, 2], [0, -2]]])
@pytest.mark.parametrize("shape", [None, [None, 3, 5]])
def test_contractions_of_fed_shapes(fresh_graph, axes, shape):
    a, b = np.random.default_rng(1).normal(size=(2, 3, 5)), np.ones((3, 5, 4))
    x, y = (tf.placeholder_with_default(v, s) for v, s in ((a, shape), (b, None)))
    result = tf.tensordot(x, y, axes)
    np.testing.assert_allclose(run(result)[0], np.tensordot(a, b, axes))
    np.testing.assert_allclose(run(tf.tensordot(x, y, tf.constant([[1, 2], [0, 1]])))[0],
                               np.tensordot(a, b, 2))  # fmt: skip


@st.composite
def equations(draw):
    letters = st.lists(st.sampled_from("ijkl"), max_size=3)
    terms = ["".join(draw(letters)) for _ in range(draw(st.integers(1, 3)))]
    known = sorted(set("".join(terms)))
    output = draw(st.lists(st.sampled_from(known), unique=True)) if known else []
    sizes = {label: draw(st.integers(0, 3)) for label in known}
    return f"{','.join(terms)}->{''.join(output)}", [[sizes[c] for c in term] for term in terms]


@settings(max_examples=80, deadline=None)
@given(case=equations())
def test_any_equation_is_numpys(case):
    equation, shapes = case
    rng = np.random.default_rng(2)
    arrays = [rng.normal(size=shape) for shape in shapes]
    with tf.Graph().as_default():
        y = tf.einsum(equation, *arrays)
        (result,) = run(y)
    wanted = np.einsum(equation, *arrays)
    assert y.shape.as_list() == list(wanted.shape)
    np.testing.assert_allclose(result, wanted, atol=1e-12)
