"""Clusters as programs describe them, their one server, devices of replicas."""

import pytest

import tfsession as tf

CLUSTER = {"ps": ["a:1", "b:2"], "worker": {0: "c:1", 3: b"d:1"}}


def test_cluster_spec():
    spec = tf.train.ClusterSpec(CLUSTER)
    assert spec.as_dict() == {"ps": ["a:1", "b:2"], "worker": {0: "c:1", 3: "d:1"}}
    assert repr(spec) == f"ClusterSpec({spec.as_dict()})"
    assert (spec.jobs, spec.num_tasks("ps"), spec.task_indices("worker")) == (
        ["ps", "worker"], 2, [0, 3],
    )  # fmt: skip
    assert spec.job_tasks("worker") == ["c:1", None, None, "d:1"]
    assert spec.task_address("ps", 1) == "b:2"
    for same in (tf.train.ClusterSpec(spec), tf.train.ClusterSpec(spec.as_cluster_def())):
        assert same == spec
    assert spec != tf.train.ClusterSpec({"ps": ["a:1"]})
    assert not tf.train.ClusterSpec({})
    assert tf.train.ClusterSpec({"ps": []}).as_dict() == {"ps": {}}
    for look in (spec.num_tasks, spec.task_indices, spec.job_tasks):
        with pytest.raises(ValueError, match="No such job in cluster: 'x'"):
            look("x")
    with pytest.raises(ValueError, match="No task with index 7 in job 'ps'"):
        spec.task_address("ps", 7)


@pytest.mark.parametrize(
    ("cluster", "text"),
    [
        (3, "must be a dictionary mapping"),
        ({"a": 3}, "The tasks for job 'a' must be a list"),
        ({"a": [3]}, "Task address 3 must be bytes or unicode"),
        ({3: ["a"]}, "Job name 3 must be bytes or unicode"),
    ],
)
def test_what_is_no_cluster(cluster, text):
    with pytest.raises(TypeError, match=text):
        tf.train.ClusterSpec(cluster)


def test_servers_of_one_process(fresh_graph):
    server = tf.train.Server.create_local_server(config=tf.ConfigProto(log_device_placement=False))
    assert server.server_def.job_name == "localhost"
    server.start()
    count = tf.assign_add(tf.train.get_or_create_global_step(), 1)
    with tf.train.MonitoredTrainingSession(master=server.target) as session:
        assert session.run(count) == 1
    again = tf.train.Server(server.server_def)
    assert again.server_def == server.server_def
    worker = tf.train.Server({"worker": ["localhost:2222"]})
    assert (worker.server_def.job_name, worker.server_def.task_index) == ("worker", 0)
    with tf.Session(worker.target) as session:
        assert session.run(tf.constant(1)) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((3,), TypeError, "Could not convert"),
        ((CLUSTER,), ValueError, "explicit `job_name`"),
        ((CLUSTER, "ps"), ValueError, "explicit `task_index`"),
        (({"a": ["x:0"]}, "b", 0), tf.errors.InternalError, '"b" was not defined in cluster'),
        (({"a": ["x:0"]}, "a", 1), tf.errors.InternalError, 'Task 1 was not defined in job "a"'),
        ((CLUSTER, "ps", 0), tf.errors.UnimplementedError,
         r"would work with /job:ps/task:1 at b:2, .* graphs run in one process"),
    ],
)  # fmt: skip
def test_servers_that_cannot_be(arguments, error, text):
    with pytest.raises(error, match=text):
        tf.train.Server(*arguments)


def devices(setter):
    with tf.Graph().as_default() as graph, tf.device(setter):
        a, b = tf.Variable(1.0), tf.Variable(1.0, use_resource=True)
        _ = a + 1
        with tf.device("/gpu:1"):
            tf.Variable(2.0)
        with tf.device("/job:other"):
            tf.Variable(3.0)
        _ = b
        kinds = ("VariableV2", "VarHandleOp", "AddV2")
        return [op.device for op in graph.get_operations() if op.type in kinds]


def test_devices_of_replicas():
    setter = tf.train.replica_device_setter(cluster=CLUSTER)
    assert devices(setter) == [
        "/job:ps/task:0", "/job:ps/task:1", "/job:worker", "/job:ps/task:0/device:GPU:1",
        "/job:other",
    ]  # fmt: skip
    setter = tf.train.replica_device_setter(
        1, "/cpu:0", worker_device="/gpu:0", ps_ops=["AddV2"], merge_devices=False
    )
    assert devices(setter) == [
        "/device:GPU:0", "/device:GPU:0", "/device:CPU:0", "/device:GPU:1", "/job:other",
    ]  # fmt: skip
    node = tf.NodeDef(op="VariableV2", device="/gpu:3")
    assert tf.train.replica_device_setter(1)(node) == "/job:ps/task:0/device:GPU:3"
    assert tf.train.replica_device_setter() is None
    assert tf.train.replica_device_setter(cluster={"worker": ["a:1"]}) is None
    with pytest.raises(TypeError, match="ps_strategy must be callable"):
        tf.train.replica_device_setter(1, ps_strategy=3)


def test_loads_of_parameter_servers(fresh_graph):
    training = tf.contrib.training
    strategy = training.GreedyLoadBalancingStrategy(2, training.byte_size_load_fn)
    with tf.device(tf.train.replica_device_setter(2, ps_strategy=strategy)):
        found = [tf.Variable(tf.zeros([n])).device for n in (10, 3, 4, 2, 20)]
    assert [device[-1] for device in found] == ["0", "1", "1", "1", "1"]
    with pytest.raises(ValueError, match="single output"):
        training.byte_size_load_fn(tf.no_op())
    with pytest.raises(ValueError, match="Incomplete shape"):
        training.byte_size_load_fn(tf.placeholder(tf.float32).op)
