"""Accumulators as operations: what is built, what is refused, and whose memory gradients are."""

import threading

import numpy as np
import pytest

import tfsession as tf

# Ops on state cannot be rows: what they give depends on an accumulator.
ACTIONS = ("NumAccumulated", "SetGlobalStep", "ApplyGradient", "TakeGradient")
COVERED = [
    *(f"{v}ConditionalAccumulator" for v in ("", "Resource", "Sparse")),
    *(f"{v}Accumulator{action}" for v in ("", "Resource") for action in ACTIONS),
    *("SparseAccumulatorApplyGradient", "SparseAccumulatorTakeGradient"),
]
SOFT = tf.ConfigProto(allow_soft_placement=True)


def test_gradients_from_any_device_are_averaged(fresh_graph, device):
    accumulator = tf.ConditionalAccumulator(tf.float32, [2])
    slices = tf.SparseConditionalAccumulator(tf.float32, [9, 2])
    with tf.device(device):
        grad = tf.constant([1.0, 2.0]) * tf.placeholder_with_default(2.0, [])
    add = [accumulator.apply_grad(grad), slices.apply_grad([3], [grad])]
    with tf.device(device):
        taken, rows = accumulator.take_grad(2) + 1.0, slices.take_indexed_slices_grad(2)
        rows = tf.IndexedSlices(rows.values + 1.0, rows.indices)
    with tf.Session(config=SOFT) as session:
        session.run(add)
        session.run(add, {"PlaceholderWithDefault:0": 4.0})
        assert session.run(taken).tolist() == [4.0, 7.0]
        found = session.run(rows)
        assert (found.indices.tolist(), found.values.tolist()) == ([3], [[4.0, 7.0]])
        assert session.run([accumulator.num_accumulated(), slices.num_accumulated()]) == [0, 0]


def test_a_take_in_the_step_of_its_gradients(fresh_graph):
    accumulator = tf.ConditionalAccumulator(tf.float32, [])
    adds = [accumulator.apply_grad(float(i)) for i in range(4)]
    taken = accumulator.take_grad(4)
    with tf.Session() as session:
        assert session.run([taken, adds])[0] == 1.5


def test_threads_that_push_and_one_that_takes(fresh_graph):
    """Each step needs three gradients of its own; a late one counts for nothing."""
    accumulator = tf.ConditionalAccumulator(tf.float32, [])
    step = tf.placeholder(tf.int64, [])
    add = accumulator.apply_grad(tf.cast(step, tf.float32), step)
    taken = accumulator.take_grad(3)
    with tf.Session() as session:
        start = threading.Barrier(4)

        def push():
            for number in range(20):
                start.wait(20)
                session.run(add, {step: number})

        threads = [threading.Thread(target=push) for _ in range(3)]
        for thread in threads:
            thread.start()
        found = []
        for _ in range(20):
            start.wait(20)
            found.append(session.run(taken))
        for thread in threads:
            thread.join()
        assert found == list(range(20))
        session.run(add, {step: 19})
        assert session.run(accumulator.num_accumulated()) == 0


@pytest.mark.parametrize("how", ["timeout", "close"])
def test_a_take_that_waits_is_ended_and_counts_for_nothing(fresh_graph, how):
    accumulator = tf.ConditionalAccumulator(tf.float32, [])
    add, taken, one = (
        accumulator.apply_grad(5.0),
        accumulator.take_grad(2),
        accumulator.take_grad(1),
    )
    session = tf.Session()
    session.run(add)
    if how == "timeout":
        with pytest.raises(tf.errors.DeadlineExceededError):
            session.run(taken, options=tf.RunOptions(timeout_in_ms=20))
        assert session.run(one) == 5.0
    else:
        errors = []

        def take():
            with pytest.raises(tf.errors.CancelledError) as caught:
                session.run(taken)
            errors.append(caught.value.message)

        thread = threading.Thread(target=take)
        thread.start()
        session.run(accumulator.num_accumulated())
        session.close()
        thread.join(20)
        assert len(errors) == 1


def test_a_fed_array_may_change_afterwards_and_what_is_taken_is_the_users(fresh_graph):
    grad = tf.placeholder(tf.float32, [2])
    accumulator = tf.ConditionalAccumulator(tf.float32, [2], reduction_type="SUM")
    add, taken = accumulator.apply_grad(grad), accumulator.take_grad(1)
    array = np.ones(2, np.float32)
    with tf.Session() as session:
        session.run(add, {grad: array})
        array[:] = 7
        found = session.run(taken)
        assert found.tolist() == [1, 1]
        found[:] = 9
        session.run([add], {grad: array})
        assert array.tolist() == [7, 7]


def test_a_gradient_that_does_not_fit_leaves_the_sum_as_it_was(fresh_graph):
    grad, step = tf.placeholder(tf.float64), tf.placeholder(tf.int64)
    accumulator = tf.ConditionalAccumulator(tf.float64, [None])
    add = accumulator.apply_grad(grad, step)
    with tf.Session() as session:
        session.run(add, {grad: [1, 2], step: 0})
        for feeds in ({grad: [1, 2, 3], step: 0}, {grad: 1, step: 0}, {grad: [1, 2], step: [0]}):
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"mismatch|must be scalar"):
                session.run(add, feeds)
        assert session.run(accumulator.take_grad(1)).tolist() == [1, 2]


def test_slices_that_do_not_fit_leave_the_sum_as_it_was(fresh_graph):
    indices, values = tf.placeholder(tf.int64), tf.placeholder(tf.float32)
    accumulator = tf.SparseConditionalAccumulator(tf.float32)
    add = accumulator.apply_grad(indices, values)
    with tf.Session() as session:
        session.run(add, {indices: [4], values: [[1, 2]]})
        for bad in (([4], [[1]]), ([4], [1]), ([4, 5], [[1, 2]]), ([[4]], [[1, 2]]), ([4], 1)):
            with pytest.raises(tf.errors.InvalidArgumentError):
                session.run(add, dict(zip((indices, values), bad, strict=True)))
        found = session.run(accumulator.take_indexed_slices_grad(1))
        assert (found.indices.tolist(), found.values.tolist()) == ([4], [[1, 2]])


@pytest.mark.parametrize(
    "other",
    [
        lambda: tf.ConditionalAccumulator(tf.float64, [2], "s"),
        lambda: tf.ConditionalAccumulator(tf.float32, [3], "s"),
        lambda: tf.ConditionalAccumulator(tf.float32, [2], "s", reduction_type="SUM"),
        lambda: tf.SparseConditionalAccumulator(tf.float32, [2], "s"),
    ],
    ids=["dtype", "shape", "reduction", "kind"],
)
def test_a_shared_one_must_be_the_same(fresh_graph, other):
    one = tf.ConditionalAccumulator(tf.float32, [2], "s")
    same = tf.ConditionalAccumulator(tf.float32, [2], "s", name="same")
    with tf.Session() as session:
        session.run(one.apply_grad([1.0, 2.0]))
        assert session.run(same.num_accumulated()) == 1
        with pytest.raises(tf.errors.InvalidArgumentError, match="Shared accumulator 's' has"):
            session.run(other().num_accumulated())
        assert session.run(one.take_grad(1)).tolist() == [1, 2]


def test_a_handle_of_something_else_is_refused(fresh_graph):
    dense, queue = tf.ConditionalAccumulator(tf.float32, []), tf.FIFOQueue(3, tf.float32)
    sparse = tf.SparseConditionalAccumulator(tf.float32)
    raw, ref = tf.raw_ops, sparse.accumulator_ref
    wrong = [
        raw.ResourceAccumulatorNumAccumulated(handle=queue.queue_ref),
        raw.ResourceAccumulatorTakeGradient(
            handle=dense.accumulator_ref, num_required=1, dtype=tf.float64
        ),
        raw.AccumulatorTakeGradient(handle=ref, num_required=1, dtype=tf.float32),
        raw.AccumulatorApplyGradient(handle=ref, local_step=0, gradient=[1.0]),
    ]
    with tf.Session() as session:
        session.run([dense.apply_grad(1.0), sparse.apply_grad([1], [1.0])])
        for op in wrong:
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"wrong type|gradients of"):
                session.run(op)


def test_the_first_version_of_the_ops(fresh_graph):
    raw = tf.raw_ops
    handle = raw.ConditionalAccumulator(dtype=tf.float32, shape=[2])
    with tf.Session() as session:
        session.run(raw.AccumulatorSetGlobalStep(handle=handle, new_global_step=4))
        for step in (3, 4, 5):
            session.run(
                raw.AccumulatorApplyGradient(
                    handle=handle, local_step=step, gradient=[float(step), 1.0]
                )
            )
        assert session.run(raw.AccumulatorNumAccumulated(handle=handle)) == 2
        taken = raw.AccumulatorTakeGradient(handle=handle, num_required=1, dtype=tf.float32)
        assert session.run(taken).tolist() == [4.5, 1]
        assert session.run(handle)[0] == b"localhost"
