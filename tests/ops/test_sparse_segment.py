"""Sums and means of chosen rows."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import FLOATS, INTS, Row, case_name, check_row, floats, row_cases, value

CHOSEN = value([3, 0, 0, 2, 1], "int32")
IDS = value([0, 0, 2, 2, 2], "int32")
DIVISORS = {"sum": lambda n: 1, "mean": lambda n: n, "sqrt_n": np.sqrt}


def reduced(name, count):
    def reference(data, indices, ids, *_, **__):
        result = np.zeros((count, *data.shape[1:]))
        for segment in set(ids.tolist()):
            rows = data[indices[ids == segment]].astype(float)
            result[segment] = rows.sum(0) / DIVISORS[name](len(rows))
        return result.astype(data.dtype)

    return reference


def gradient(tf, sums, x):
    grad = tf.gradients(sums, x, [sums])[0]
    return grad if isinstance(grad, tf.Tensor) else [grad.values, grad.indices, grad.dense_shape]


ROWS = [
    row
    for name, op in (("sum", "Sum"), ("mean", "Mean"), ("sqrt_n", "SqrtN"))
    for row in (
        Row(f"SparseSegment{op}", f"sparse_segment_{name}", [floats(4, 3), CHOSEN, IDS],
            dtypes=[*FLOATS, *(INTS if name == "sum" else [])], reference=reduced(name, 3)),
        Row(f"SparseSegment{op}", f"sparse.segment_{name}",
            [floats(4), value([1, 2], "int64"), value([1, 1], "int64")],
            reference=reduced(name, 2), label="vector"),
        Row(f"SparseSegment{op}", f"sparse_segment_{name}",
            [floats(4, 2), value([], "int32"), value([], "int32")],
            reference=reduced(name, 0), label="nothing chosen"),
        Row(f"SparseSegment{op}WithNumSegments", f"sparse_segment_{name}",
            [floats(4, 3), CHOSEN, IDS], kwargs={"num_segments": 5},
            dtypes=FLOATS, reference=reduced(name, 5)),
        Row(f"SparseSegment{op}WithNumSegments",
            lambda tf, x, i, s, n, name=name: getattr(tf, f"sparse_segment_{name}")(
                x, i, s, num_segments=n),
            [floats(4, 0), CHOSEN, IDS, value(4, "int32")], reference=reduced(name, 4),
            label="fed count"),
        *(
            Row(f"SparseSegment{op}Grad{version}",
                lambda tf, x, i, s, name=name, sparse=sparse: gradient(
                    tf, getattr(tf, f"sparse_segment_{name}")(x, i, s, sparse_gradient=sparse), x),
                [floats(4, 3), CHOSEN, IDS], dtypes=["float32", "float64"])
            for version, sparse in (("", False), ("V2", True))
        ),
    )
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", DIVISORS)
def test_gradients_are_what_differences_tell(fresh_graph, name, sparse, device):
    with tf.device(device):
        x = tf.placeholder(tf.float64, [4, 2])
        sums = getattr(tf, f"sparse_segment_{name}")(
            x, CHOSEN.array(None, ""), IDS.array(None, ""), sparse_gradient=sparse
        )
        total = tf.reduce_sum(sums * np.arange(6.0).reshape(3, 2))
        grad = tf.convert_to_tensor(tf.gradients(total, x)[0])
    values = np.random.default_rng(0).normal(size=(4, 2))
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        found = session.run(grad, {x: values})
        for place in np.ndindex(4, 2):
            step = np.zeros_like(values)
            step[place] = 1e-4
            above, below = (session.run(total, {x: values + s * step}) for s in (1, -1))
            assert found[place] == pytest.approx((above - below) / 2e-4, abs=1e-8)


WRONG = [
    ([4], [0], None, r"indices\[0\] == 4 out of range \[0, 4\)"),
    ([-1], [0], None, r"indices\[0\] == -1 out of range \[0, 4\)"),
    ([0, 1], [1, 0], None, "segment ids are not increasing"),
    ([0, 1], [-1, 0], None, "segment ids must be >= 0"),
    ([0, 1], [0, 3], 2, "segment ids must be < num_segments"),
    ([0, 1], [0], None, "segment_ids and indices should have same size"),
]


@pytest.mark.parametrize(("indices", "ids", "count", "text"), WRONG)
def test_errors(fresh_graph, indices, ids, count, text):
    with tf.device("/cpu:0"):
        fed = [tf.placeholder(tf.int32) for _ in range(2)]
        result = tf.sparse_segment_mean(tf.ones([4, 2]), *fed, num_segments=count)
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match=text):
            session.run(result, dict(zip(fed, (indices, ids), strict=True)))
        assert session.run(result, dict(zip(fed, ([0], [0]), strict=True)))[0].tolist() == [1, 1]


@pytest.mark.parametrize("name", DIVISORS)
def test_what_is_out_of_range_is_left_out_where_the_host_does_not_look(fresh_graph, name):
    data = np.arange(1.0, 9.0).reshape(4, 2)
    indices, ids = [0, 4, -1, 2, 3], [0, 0, 2, 3, -1]
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float64, [4, 2])
        fed = [tf.placeholder(tf.int64, [5]) for _ in range(2)]
        sums = getattr(tf, f"sparse_segment_{name}")(x, *fed, num_segments=3)
        grad = tf.gradients(sums, x)[0]
    divisor = {"sum": 1, "mean": 2, "sqrt_n": np.sqrt(2)}[name]
    with tf.Session() as session:
        for _ in range(3):
            with session.counting() as counted:
                found = session.run(
                    [sums, grad], {x: data, **dict(zip(fed, (indices, ids), strict=True))}
                )
            np.testing.assert_allclose(found[0], [data[0] / divisor, [0, 0], [0, 0]])
            np.testing.assert_allclose(found[1], [[1 / divisor] * 2, *[[0, 0]] * 3])
    assert counted["/gpu:0"].replays == 1
    assert counted["/gpu:0"].launches == 0
