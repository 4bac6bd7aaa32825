"""Values that a variable keeps itself, since nobody else has them: nobody sees it change them."""

import tracemalloc

import numpy as np
import pytest

import tfsession as tf

# What is assigned to `v` and, in some, to `u`; each sees `x`, four random numbers made in the step.
PROGRAMS = {
    "once": "[v.assign(x)]",
    "and fetched": "[v.assign(x), x]",
    "and read": "[v.assign(x), x + 1.0]",
    "twice": "[v.assign(x), u.assign(x)]",
    "through an identity": "[v.assign(tf.identity(x)), tf.identity(x)]",
    "in another shape": "[v.assign(tf.reshape(tf.reshape(x, [2, 2]), [4])), x]",
    "a slice": "[v.assign(tf.concat([x, x], 0)[2:6]), x]",
    "what is fed": "[v.assign(fed)]",
    "a constant": "[v.assign(tf.constant([1.0, 2.0, 3.0, 4.0]))]",
    "another variable": "[v.assign(w), w]",
    "its own value": "[v.assign(v + x), x]",
    "one after another": "[u.assign(v.assign(x))]",
    "of several outputs": "[v.assign(tf.split(x * 2.0, 2)[0][0] + x), *tf.unstack(x)]",
    "both of two outputs": "[a.assign(b) for a, b in zip([v, u], tf.split(tf.tile(x, [2]), 2))]",
    "from Python": "[v.assign(tf.py_func(keep, [x], tf.float32))]",
}


@pytest.mark.parametrize("where", ["/cpu:0", None])
@pytest.mark.parametrize("resource", [False, True])
@pytest.mark.parametrize("program", PROGRAMS)
def test_nobody_sees_a_variable_change(fresh_graph, program, resource, where):
    kept = []

    def keep(array):
        kept.append(array * 2)
        return kept[-1]

    with tf.device(where):
        start = tf.constant([9.0, 8.0, 7.0, 6.0])
        v, u, w = (
            tf.get_variable(name, initializer=start + n, use_resource=resource)
            for n, name in enumerate("vuw")
        )
        x, fed = tf.random_uniform([4]), tf.placeholder(tf.float32, [4])
        fetches = eval(PROGRAMS[program], None, {**locals(), "tf": tf})
        add = [tf.assign_add(one, [100.0] * 4).op for one in (v, u)]
    value = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            found = session.run(fetches, {fed: value})
            before = session.run([v, u, w])
            copies = [np.array(one) for one in (*found, *before, *kept)]
            session.run(add)
            for one, copy in zip((*found, *before, *kept), copies, strict=True):
                np.testing.assert_array_equal(one, copy)
            after = session.run([v, u, w])
            np.testing.assert_allclose(after[0] - before[0], 100.0, rtol=1e-4)
            np.testing.assert_allclose(after[1] - before[1], 100.0, rtol=1e-4)
            np.testing.assert_array_equal(after[2], before[2])
            assert value.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("resource", [False, True])
def test_a_restore_takes_no_second_copy(fresh_graph, tmp_path, resource):
    size = 2 << 20
    with tf.device("/cpu:0"):
        for n in range(4):
            tf.get_variable(f"v{n}", [size // 4], use_resource=resource)
        tf.get_variable("p", [4, size // 16], partitioner=tf.fixed_size_partitioner(2, 1))
    saver = tf.train.Saver()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        path = saver.save(session, str(tmp_path / "m"))
    with tf.Session() as session:
        tracemalloc.start()
        try:
            saver.restore(session, path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert 5 * size <= peak < 5.5 * size
