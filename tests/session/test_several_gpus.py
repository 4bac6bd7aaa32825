"""Programs on several GPUs: the bytes of one CPU, and the copies that one expects by reasoning."""

import threading

import numpy as np
import pytest

import tfsession as tf

X = np.linspace(-1, 1, 64 * 4, dtype=np.float32).reshape(64, 4)
Y = np.sin(X[:, :1]) + X[:, 1:2] * X[:, 2:3]
W0 = np.linspace(-1, 1, 4 * 16, dtype=np.float32).reshape(4, 16)
W1 = np.linspace(1, -1, 16, dtype=np.float32).reshape(16, 1)
F32 = 4


@pytest.fixture(autouse=True)
def _not_recorded(monkeypatch):
    """Each copy by itself: a recorded step brings several values from the host in one."""
    monkeypatch.setenv("TFSESSION_GPU_GRAPHS", "0")


def variables(device):
    with tf.device(device):
        return [tf.get_variable(f"w{n}", initializer=value) for n, value in enumerate((W0, W1))]


def run_steps(session, train, fetches, feeds, steps=3):
    """What some steps give, and the counters of the last, in which all constants are there."""
    session.run(tf.global_variables_initializer())
    for _ in range(steps - 1):
        session.run([train, *fetches], feeds)
    with session.counting() as counted:
        values = session.run([train, *fetches], feeds)[1:]
    return [
        np.asarray(v).tobytes() for v in (*values, *session.run(tf.global_variables()))
    ], counted


# --- data-parallel towers -------------------------------------------------------------------------


def towers(count, gpu, parameters, averaging):
    """Each tower has a part of the batch; gradients and losses are averaged on one device."""
    x, y = tf.placeholder(tf.float32, X.shape), tf.placeholder(tf.float32, Y.shape)
    weights = variables(parameters)
    with tf.device("/cpu:0"):
        parts = list(zip(tf.split(x, count), tf.split(y, count), strict=True))
    losses, gradients = [], []
    for number, (images, labels) in enumerate(parts):
        with tf.device(gpu(number)):
            hidden = tf.tanh(tf.matmul(images, weights[0]))
            losses.append(tf.reduce_mean(tf.square(tf.matmul(hidden, weights[1]) - labels)))
            gradients.append(tf.gradients(losses[-1], weights))
    with tf.device(averaging):
        averaged = [tf.add_n(list(each)) / count for each in zip(*gradients, strict=True)]
        loss = tf.add_n(losses) / count
    train = tf.train.GradientDescentOptimizer(0.1).apply_gradients(
        list(zip(averaged, weights, strict=True))
    )
    return train, [loss], {x: X, y: Y}


def of_each(number):
    return f"/gpu:{number}"


# (towers, variables on, averaged on, expected counters of GPU:0, of any other, synchronisations)
# A tower needs two parts of the batch and two weights, gives two gradients and a loss.
TOWERS = [
    (count, parameters, averaging, first, other)
    for count in (4, 8)
    for parameters, averaging, first, other in (
        # Weights come from the host and gradients go back there; one wait serves both and the loss.
        ("/cpu:0", "/gpu:0", (4, 3, 3 * (count - 1), 1), (4, 0, 0, 0)),
        # Weights go once to each other tower; only the loss is read on the host.
        ("/gpu:0", "/gpu:0", (2, 1, 3 * (count - 1), 1), (2, 0, 2, 0)),
        # The host averages: each device is waited for once, for three values.
        ("/cpu:0", "/cpu:0", (4, 3, 0, 1), (4, 3, 0, 1)),
        # Another device averages and holds the weights.
        ("/gpu:1", "/gpu:1", (2, 0, 2, 0), None),
    )
]


@pytest.mark.parametrize(("count", "parameters", "averaging", "first", "other"), TOWERS)
def test_towers(simulated_session, count, parameters, averaging, first, other):
    session = simulated_session(gpus=count, memory="1MiB")
    found, counted = run_steps(session, *towers(count, of_each, parameters, averaging))
    for number in range(count):
        c = counted[f"/gpu:{number}"]
        copies = (c.host_to_device, c.device_to_host, c.device_to_device, c.synchronizations)
        if number == 0:
            assert copies == first
        elif other is not None:
            assert copies == other
        else:
            assert copies == ((2, 1, 3 * (count - 1), 1) if number == 1 else (2, 0, 2, 0))
    assert counted.total.uploads == counted.total.reads == 0
    batch, weights = X.nbytes + Y.nbytes, W0.nbytes + W1.nbytes
    on_host = parameters == "/cpu:0"
    assert counted.total.host_to_device_bytes == batch + (count * weights if on_host else 0)
    # The same on the CPU, to the last bit.
    with tf.Graph().as_default(), tf.Session() as plain:
        wanted, _ = run_steps(plain, *towers(count, lambda number: "/cpu:0", "/cpu:0", "/cpu:0"))
    assert found == wanted


# --- a pipeline of layers -------------------------------------------------------------------------


def pipeline(places, micro_batches):
    """A layer on each device; activations go forwards, their gradients backwards."""
    x, y = tf.placeholder(tf.float32, X.shape), tf.placeholder(tf.float32, Y.shape)
    weights = []
    for number, (place, shape) in enumerate(zip(places, ((4, 8), (8, 8), (8, 1)), strict=True)):
        value = np.linspace(-1, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
        with tf.device(place):
            weights.append(tf.get_variable(f"w{number}", initializer=value))
    losses = []
    with tf.device("/cpu:0"):
        parts = zip(tf.split(x, micro_batches), tf.split(y, micro_batches), strict=True)
    for values, labels in parts:
        for weight in weights:
            with tf.device(weight.device):
                values = tf.tanh(tf.matmul(values, weight))
        with tf.device(places[-1]):
            losses.append(tf.reduce_mean(tf.square(values - labels)))
    with tf.device(places[-1]):
        loss = tf.add_n(losses)
    gradients = tf.gradients(loss, weights, colocate_gradients_with_ops=True)
    train = tf.train.GradientDescentOptimizer(0.1).apply_gradients(
        list(zip(gradients, weights, strict=True))
    )
    return train, [loss], {x: X, y: Y}


@pytest.mark.parametrize("micro_batches", [1, 4])
def test_a_pipeline_of_layers(simulated_session, micro_batches):
    session = simulated_session(gpus=3, memory="1MiB")
    places = ["/gpu:0", "/gpu:1", "/gpu:2"]
    found, counted = run_steps(session, *pipeline(places, micro_batches))
    m = micro_batches
    moved = [
        (c.host_to_device, c.device_to_host, c.device_to_device, c.synchronizations)
        for c in map(counted.__getitem__, places)
    ]
    # Inputs to the first, labels to the last; between neighbours an activation each way; the
    # learning rate from the first device to the others.
    assert moved == [(m, 0, m, 0), (0, 0, 2 * m + 1, 0), (m, 1, m + 1, 1)]
    # Between neighbours 8 floats a row, forwards and backwards; to the host one loss.
    assert counted.total.device_to_device_bytes == (4 * 64 * 8 + 2) * F32
    assert counted.total.device_to_host_bytes == F32
    with tf.Graph().as_default(), tf.Session() as plain:
        wanted, _ = run_steps(plain, *pipeline(["/cpu:0"] * 3, micro_batches))
    assert found == wanted


# --- several devices on one card, and other ways to get them --------------------------------------


def virtual(*limits):
    """A configuration with devices of these sizes in MiB on one card."""
    options = tf.GPUOptions()
    options.experimental.virtual_devices.add().memory_limit_mb.extend(limits)
    return tf.ConfigProto(gpu_options=options)


def test_devices_on_one_card_are_peers_with_limits(simulated_session):
    session = simulated_session(gpus=1, memory="8MiB", config=virtual(1, 2))
    limits = [d.memory_limit_bytes for d in session.list_devices()[1:]]
    assert limits == [1 << 20, 2 << 20]
    x = tf.placeholder(tf.float32, [None])
    with tf.device("/gpu:0"):
        a = x + 1.0
    with tf.device("/gpu:1"):
        b = a * 2.0
    session.run(b, {x: np.zeros(8)})
    with session.counting() as counted:
        assert session.run(b, {x: np.zeros(8)}).tolist() == [2.0] * 8
    assert counted.total[1:5] == (1, 1, 1, 1)
    with pytest.raises(tf.errors.ResourceExhaustedError, match="GPU:0"):
        session.run(b, {x: np.zeros(200_000)})
    assert session.run(b, {x: np.zeros(8)}).tolist() == [2.0] * 8


@pytest.mark.parametrize(
    ("options", "gpus", "limits", "cards"),
    [
        ({"per_process_gpu_memory_fraction": 0.25}, 2, [256] * 2, [0, 1]),
        ({"visible_device_list": "3,1"}, 4, [1024] * 2, [3, 1]),
        ({"visible_device_list": "2", "per_process_gpu_memory_fraction": 0.5}, 4, [512], [2]),
        ({}, 8, [1024] * 8, list(range(8))),
    ],
)
def test_gpu_options_hold_for_simulated_cards(simulated_session, options, gpus, limits, cards):
    config = tf.ConfigProto(gpu_options=tf.GPUOptions(**options))
    session = simulated_session(gpus=gpus, memory="1024B", config=config)
    devices = session._engine.devices.devices[1:]
    assert [d.memory_limit_bytes for d in devices] == limits
    told = [int(d.physical_description.split(",")[0].removeprefix("device: ")) for d in devices]
    assert told == cards


def test_two_sessions_have_devices_of_their_own(simulated_session):
    x = tf.placeholder(tf.float32, [2])
    with tf.device("/gpu:0"):
        y = x + 1.0
    one, two = simulated_session(gpus=1), simulated_session(gpus=3, memory="1KiB")
    keep = one.make_callable(y, [x], device_fetches=True)
    array = keep([1, 2])
    with two.counting() as counted, pytest.raises(TypeError, match="none of this session's"):
        two.run(y, {x: array})
    assert counted.total.host_to_device == 0
    assert [len(s.list_devices()) for s in (one, two)] == [2, 4]
    one.close()
    assert two.run(y, {x: [1, 2]}).tolist() == [2, 3]
    for use in (lambda: one.run(y, {x: array}), lambda: keep(array)):
        with pytest.raises(RuntimeError, match="closed Session"):
            use()
    assert array.get().tolist() == [2, 3]  # its owner may still read it
    with pytest.raises(tf.errors.CancelledError):
        array + 1.0


def test_threads_share_the_devices_of_a_session(simulated_session):
    session = simulated_session(gpus=8, memory="1MiB")
    _, (loss,), feeds = towers(8, of_each, "/gpu:0", "/gpu:0")
    session.run(tf.global_variables_initializer())
    wanted = session.run(loss, feeds)
    wrong = []

    def work():
        try:
            found = {session.run(loss, feeds) for _ in range(10)}
            wrong.extend(found - {wanted})
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    with session.counting() as counted:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert counted["/gpu:0"].device_to_host == 40
    assert counted.total.synchronizations == 40


@pytest.mark.parametrize("is_resource", [False, True])
def test_threads_that_do_not_wait_for_each_other(simulated_session, is_resource):
    """One updates what the other copies to the next device: their order is the program's matter."""
    with tf.device("/gpu:0"):
        v = tf.get_variable("v", [64], initializer=tf.zeros_initializer(), use_resource=is_resource)
        update = tf.assign_add(v, tf.ones([64]))
    with tf.device("/gpu:1"):
        total = tf.reduce_sum(tf.identity(v))
    session = simulated_session(gpus=2)
    session.run(v.initializer)
    wrong = []

    def work(fetch):
        try:
            for _ in range(200):
                session.run(fetch)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=[f]) for f in (update.op, total, total)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert session.run(total) == 200 * 64


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -0.0, 1e-42, -1e-45])
def test_odd_numbers_go_through_all_devices_unchanged(simulated_session, value):
    """Denormals and the bits of a NaN as well: nothing is flushed, nothing made canonical."""
    x = tf.placeholder(tf.float32, [2])
    y = x
    for device in ("/gpu:0", "/gpu:1", "/cpu:0", "/gpu:1"):
        with tf.device(device):
            y = tf.concat([y, y], 0)
    fed = np.array([value, 1.0], np.float32)
    if np.isnan(value):
        fed.view(np.uint32)[0] ^= 1  # one of other bits
    session = simulated_session(gpus=2)
    assert session.run(y, {x: fed}).tobytes() == fed.tobytes() * 16
    with tf.device("/gpu:0"):
        doubled = x + x
    assert session.run(doubled, {x: fed}).tobytes() == (fed + fed).tobytes()
