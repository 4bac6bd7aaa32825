"""`tf.raw_ops`: what is defined has a function there; arguments are given by name."""

import inspect

import pytest

import tfsession as tf
from tfsession.core.op_def import ops


def test_each_op_has_a_function():
    names = {name for name in ops.names() if "tests/" not in ops.site(name)}
    assert names <= set(dir(tf.raw_ops))
    for name in names:
        function = getattr(tf.raw_ops, name)
        *parameters, last = inspect.signature(function).parameters.values()
        assert all(p.kind is p.KEYWORD_ONLY for p in parameters)
        assert (last.name, last.default) == ("name", None)
        assert function.__doc__.startswith(f"The op {name};")


def test_one_output_several_and_none():
    with tf.Graph().as_default():
        total = tf.raw_ops.Add(x=[1, 2], y=3, name="total")
        found = tf.raw_ops.Unique(x=[4, 4, 5], out_idx=tf.int64)
        parts = tf.raw_ops.Split(axis=0, value=[1, 2], num_split=2)
        nothing = tf.raw_ops.NoOp()
        summed = tf.raw_ops.Sum(input=[[1, 2]], axis=1, keep_dims=True)
        assert (total.name, nothing.type, found.idx.dtype) == ("total:0", "NoOp", tf.int64)
        with tf.Session() as session:
            assert session.run(total).tolist() == [4, 5]
            assert session.run(summed).tolist() == [[3]]
            assert session.run(parts[1]).tolist() == [2]
            values = session.run(found)
    assert type(values) is type(found)
    assert values.y.tolist() == [4, 5]
    assert values.idx.tolist() == [0, 0, 1]


def test_arguments_by_place():
    gen_ops = tf.python.ops.gen_ops
    with tf.Graph().as_default(), tf.Session() as session:
        slope = gen_ops.relu_grad([1.0, 2.0], [0.0, 3.0], name="slope")
        assert session.run(slope).tolist() == [0.0, 2.0]
        assert session.run(gen_ops.split(0, [1, 2], num_split=2)[0]).tolist() == [1]
        assert str(inspect.signature(gen_ops.sum)) == "(input, axis, keep_dims=False, name=None)"
        for args, kwargs, text in [
            ((1, 2, "n", 4), {}, "takes from 2 to 3 positional arguments but 4 were given"),
            ((1, 2), {"x": 1}, "got multiple values for argument 'x'"),
            ((1,), {"name": "n"}, "missing 1 required positional argument: 'y'"),
        ]:
            with pytest.raises(TypeError, match=text):
                gen_ops.add(*args, **kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((1, 2), {}, "add only takes keyword args .possible keys: .'x', 'y', 'name'.."),
        ((), {}, "add.. missing 2 required positional arguments: 'x' and 'y'"),
        ((), {"x": 1}, "add.. missing 1 required positional argument: 'y'"),
        ((), {"x": 1, "y": 2, "z": 3}, "add.. got an unexpected keyword argument 'z'"),
        ((), {"x": 1, "y": "text"}, "Expected int32 passed to parameter 'y' of op 'Add'"),
    ],
)
def test_wrong_arguments(args, kwargs, text):
    with tf.Graph().as_default(), pytest.raises(TypeError, match=text):
        tf.raw_ops.Add(*args, **kwargs)
