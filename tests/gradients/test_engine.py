"""tf.gradients: what it returns, aggregates, refuses; rules that users register."""

import numpy as np
import pytest

import tfsession as tf


def _run(fetches, feeds=None):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feeds)


def test_one_x_and_lists(fresh_graph):
    x = tf.placeholder(tf.float32, [])
    y = x * x * 3.0
    assert len(tf.gradients(y, x)) == 1
    assert _run(tf.gradients([y, x], [x]), {x: 2.0}) == [13.0]


def test_unconnected(fresh_graph):
    x, other = tf.constant(1.0), tf.constant([1.0, 2.0])
    assert tf.gradients(x * 2.0, [x, other])[1] is None
    for zero in (tf.UnconnectedGradients.ZERO, "zero"):
        grads = tf.gradients(x * 2.0, [x, other], unconnected_gradients=zero)
        assert _run(grads)[1].tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="nope"):
        tf.gradients(x, x, unconnected_gradients="nope")


def test_grad_ys_weigh_the_outputs(fresh_graph):
    x = tf.constant([1.0, 2.0])
    assert _run(tf.gradients([x * 2.0], [x], grad_ys=[[3.0, 5.0]]))[0].tolist() == [6.0, 10.0]
    with pytest.raises(ValueError, match="Length mismatch"):
        tf.gradients([x], [x], grad_ys=[[1.0, 1.0], [1.0, 1.0]])


def test_several_paths_are_added_once(fresh_graph):
    x = tf.constant(3.0)
    a, b, c = x * 2.0, x * x, tf.exp(x) * 0.0
    grad = tf.gradients(a + b + c, x)[0]
    assert _run(grad) == 8.0
    assert [op.type for op in fresh_graph.get_operations()].count("AddN") == 1


def test_stop_gradients(fresh_graph):
    x = tf.constant(2.0)
    y = x * x
    z = y * x
    assert _run(tf.gradients(z, [x], stop_gradients=[y]))[0] == 4.0
    assert _run(tf.gradients(z, [x]))[0] == 12.0
    assert tf.gradients(tf.stop_gradient(x) * 2.0, x) == [None]


def test_intermediate_tensors_are_sources_too(fresh_graph):
    x = tf.constant(2.0)
    y = x * 3.0
    z = y * y
    assert _run(tf.gradients(z, [x, y])) == [36.0, 12.0]


def test_a_y_may_depend_on_another_y(fresh_graph):
    x = tf.constant(2.0)
    y = x * x
    z = y * 5.0
    assert _run(tf.gradients([y, z], [y]))[0] == 6.0


def test_gathers_give_slices(fresh_graph):
    table = tf.Variable(np.arange(6.0).reshape(3, 2))
    grad = tf.gradients(tf.gather(table, [2, 0, 2]), table)[0]
    assert isinstance(grad, tf.IndexedSlices)
    values = _run(grad)
    assert values.indices.tolist() == [2, 0, 2]
    assert values.values.tolist() == [[1.0, 1.0]] * 3
    assert _run(tf.convert_to_tensor(grad)).tolist() == [[1.0, 1.0], [0.0, 0.0], [2.0, 2.0]]


def test_slices_and_dense_gradients_add_up(fresh_graph):
    table = tf.Variable(np.arange(6.0).reshape(3, 2))
    y = tf.reduce_sum(tf.gather(table, [1])) + tf.reduce_sum(table * 2.0)
    grad = tf.gradients(y, table)[0]
    assert isinstance(grad, tf.Tensor)
    assert _run(grad).tolist() == [[2.0, 2.0], [3.0, 3.0], [2.0, 2.0]]


def test_what_leads_to_y_through_integers_alone_holds_nothing_up(fresh_graph):
    """The sum over all of a tensor of unknown rank asks for the rank."""
    x = tf.placeholder(tf.float32)
    y = tf.reduce_sum(tf.square(x)) * tf.cast(tf.size(x), tf.float32)
    (grad,) = tf.gradients(y, x)
    with tf.Session() as session:
        assert session.run(grad, {x: [1.0, 2.0]}).tolist() == [4.0, 8.0]


def test_higher_orders(fresh_graph):
    x = tf.constant(2.0)
    y = x * x * x * x
    grads = []
    for _ in range(4):
        y = tf.gradients(y, x)[0]
        grads.append(y)
    assert _run(grads) == [32.0, 48.0, 48.0, 24.0]


@pytest.mark.parametrize("use_resource", [False, True])
def test_by_a_variable(fresh_graph, use_resource):
    w = tf.Variable([1.0, 2.0], use_resource=use_resource)
    grads = tf.gradients(w * w + w.read_value(), w)
    assert _run(grads)[0].tolist() == [3.0, 5.0]


@pytest.mark.parametrize(("name", "scope"), [(None, "gradients/"), ("mine", "mine/"), ("", "")])
def test_the_scope_of_a_call(name, scope, fresh_graph):
    x = tf.constant(2.0)
    assert tf.gradients(x * 2.0, x, name=name)[0].name == f"{scope}mul_grad/Mul:0"


def test_values_of_a_dict_are_as_good_as_a_list(fresh_graph):
    weights = {"b": tf.Variable(3.0, name="b"), "a": tf.Variable(2.0, name="a")}
    losses = {"product": weights["a"] * weights["b"]}
    pairs = tf.train.GradientDescentOptimizer(1.0).compute_gradients(
        losses["product"], var_list=weights.values()
    )
    assert [variable.op.name for _, variable in pairs] == ["b", "a"]
    grads = [grad for grad, _ in pairs] + tf.gradients(losses.values(), weights["a"])
    with tf.Session() as session:
        session.run(tf.group({k: v.initializer for k, v in weights.items()}.values()))
        assert session.run(grads) == [2.0, 3.0, 3.0]


def test_names_and_gates(fresh_graph):
    x, y = tf.constant(2.0, name="x"), tf.constant(3.0, name="y")
    z = tf.multiply(x, y, name="z")
    tf.gradients(z, [x, y], name="mine", gate_gradients=True)
    names = [op.name for op in fresh_graph.get_operations()]
    assert [name for name in names if name.startswith("mine/z_grad/")]
    assert "mine/z_grad/tuple/control_dependency_1" in names
    with tf.device("/cpu:0"):
        other = tf.square(x, name="other")
    grad = tf.gradients(other, x, colocate_gradients_with_ops=True)[0]
    assert grad.op.colocation_groups() == [b"loc:@other"]


def test_complex_needs_grad_ys(fresh_graph):
    z = tf.constant(1.0 + 2.0j)
    with pytest.raises(TypeError, match="must set grad_ys"):
        tf.gradients(z * z, z)
    assert _run(tf.gradients(z * z, z, grad_ys=tf.constant(1.0 + 0.0j)))[0] == 2.0 - 4.0j


def test_integers_have_no_gradient(fresh_graph):
    n = tf.constant(2)
    assert tf.gradients(tf.cast(tf.cast(n, tf.float32), tf.int32), n) == [None]
    assert tf.gradients(n * 2, n) == [None]
    x = tf.constant(3.0)
    through = tf.cast(tf.cast(x, tf.int32), tf.float32) * x
    assert _run(tf.gradients(through, x)) == [3.0]


def test_an_operation_without_a_rule_is_named(fresh_graph):
    from_user = tf.Graph().as_default
    with from_user():
        x = tf.constant(1.0)
        with tf.get_default_graph().gradient_override_map({"Square": "NobodyRegisteredThis"}):
            y = tf.square(x, name="sq")
        with pytest.raises(LookupError, match=r"No gradient defined for operation ?'sq'"):
            tf.gradients(y, x)


def test_registered_gradients_override(fresh_graph):
    if "TestsDouble" not in _registered:
        _registered.add("TestsDouble")
        tf.RegisterGradient("TestsDouble")(lambda op, grad: grad * 2.0)
    x = tf.constant(5.0)
    with fresh_graph.gradient_override_map({"Square": "TestsDouble"}):
        y = tf.square(x)
    assert _run(tf.gradients(y, x))[0] == 2.0
    with pytest.raises(KeyError, match="Registering two gradient with name 'TestsDouble'"):
        tf.RegisterGradient("TestsDouble")(lambda op, grad: grad)


_registered: set = set()


def test_a_rule_with_too_few_gradients_is_told(fresh_graph):
    if "TestsTooFew" not in _registered:
        _registered.add("TestsTooFew")
        tf.RegisterGradient("TestsTooFew")(lambda op, grad: [grad])
    x = tf.constant(1.0)
    with fresh_graph.gradient_override_map({"Mul": "TestsTooFew"}):
        y = tf.multiply(x, x)
    with pytest.raises(ValueError, match="Num gradients 1 generated"):
        tf.gradients(y, x)


def test_gradients_on_devices(fresh_graph, device):
    with tf.device(device):
        x = tf.placeholder(tf.float32, [3])
        grad = tf.gradients(tf.reduce_sum(tf.tanh(x) * x), x)[0]
    value = np.array([0.5, -1.0, 2.0], np.float32)
    wanted = np.tanh(value) + value * (1 - np.tanh(value) ** 2)
    np.testing.assert_allclose(_run(grad, {x: value}), wanted, rtol=1e-5)


@pytest.mark.parametrize("rows", [None, 3])
def test_zeros_for_an_output_without_gradient_are_known_as_such(fresh_graph, rows):
    logits = tf.placeholder(tf.float32, [rows, 4])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=[0, 1, 2], logits=logits)
    tf.gradients(losses, logits)
    types = {op.type for op in tf.get_default_graph().get_operations()}
    assert "ZerosLike" in types
    assert "Softmax" not in types  # of the second derivative
