"""What all tests share: the devices they run on, and a graph of their own."""

import gc
import os
import warnings

import numpy as np
import pytest
from hypothesis import settings

SIMULATED = "2:256MiB"

# How long an example takes says more about the machine than about the code.
settings.register_profile("tfsession", deadline=None)
settings.load_profile("tfsession")


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        choices=("all", "cpu", "simulated", "cuda"),
        default=os.environ.get("TFSESSION_TEST_DEVICE", "all"),
        help="where tests with a `device` run: all is the CPU and a simulated GPU; "
        "cuda is a real GPU (also: TFSESSION_TEST_DEVICE)",
    )


def pytest_configure(config):
    # Before tfsession is imported, and for the processes that tests start.
    if config.getoption("--device") == "cuda":
        os.environ.pop("TFSESSION_SIMULATED_GPUS", None)
    else:
        os.environ["TFSESSION_SIMULATED_GPUS"] = SIMULATED


def pytest_collection_finish(session):
    """Thousands of tests are there from now on: no search for garbage shall look through them."""
    gc.collect()
    gc.freeze()


def pytest_report_header(config):
    simulated = os.environ.get("TFSESSION_SIMULATED_GPUS", "none")
    return f"device: {config.getoption('--device')}, simulated GPUs: {simulated}"


def pytest_generate_tests(metafunc):
    """A test that takes `device` runs once on each: its value is a name for `tf.device`.

    Where the module says `ONEDNN = True`, it runs on the CPU with oneDNN, too.
    """
    if "device" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--device")
        kinds = ["cpu", "simulated"] if asked == "all" else [asked]
        names = [pytest.param("/cpu:0" if kind == "cpu" else "/gpu:0", id=kind) for kind in kinds]
        if "cpu" in kinds and getattr(metafunc.module, "ONEDNN", False):
            names.append(pytest.param("/cpu:0", id="onednn", marks=pytest.mark.onednn))
        metafunc.parametrize("device", names)


@pytest.fixture(scope="session", autouse=True)
def _onednn():
    """The way to oneDNN; NumPy alone computes meanwhile, with the same bits on all devices."""
    from tfsession.devices import onednn  # noqa: PLC0415  as in fresh_graph

    with pytest.MonkeyPatch.context() as patch:
        find = onednn._library
        patch.setattr(onednn, "_library", lambda: None)
        yield find


@pytest.fixture(autouse=True)
def _onednn_where_asked(request, monkeypatch, _onednn):
    """Let oneDNN compute in the tests that are for it."""
    from tfsession.devices import onednn  # noqa: PLC0415  as in fresh_graph

    if request.node.get_closest_marker("onednn") is not None:
        monkeypatch.setattr(onednn, "_library", _onednn)
        if onednn.dnn_library(np) is None:
            pytest.skip(f"oneDNN: {onednn.description()}")


@pytest.fixture(scope="session", autouse=True)
def _llvm():
    """The way to LLVM; NumPy alone computes meanwhile, as it does without."""
    from tfsession.devices import native  # noqa: PLC0415  as in fresh_graph

    with pytest.MonkeyPatch.context() as patch:
        found = native._is_there, native._compiler
        patch.setattr(native, "_is_there", lambda: False)
        patch.setattr(native, "_compiler", lambda: None)
        yield found


@pytest.fixture(autouse=True)
def _llvm_where_asked(request, monkeypatch, _llvm):
    """Let LLVM compile in the tests that are for it, and beside TensorFlow."""
    node = request.node
    if not (node.get_closest_marker("llvm") or node.get_closest_marker("oracle")):
        yield
        return
    from tfsession.devices import native  # noqa: PLC0415  as in fresh_graph
    from tfsession.kernels import elementwise_loop  # noqa: PLC0415

    monkeypatch.setattr(native, "_is_there", _llvm[0])
    monkeypatch.setattr(native, "_compiler", _llvm[1])
    if native.native_compiler() is None and node.get_closest_marker("llvm"):
        pytest.skip(f"LLVM: {native.description()}")
    elementwise_loop.of_float32.cache_clear()
    yield
    elementwise_loop.of_float32.cache_clear()


@pytest.fixture
def fresh_graph():
    """An empty graph that is the default while the test runs."""
    # Not at the top: pytest_configure sets the environment before the first import.
    from tfsession.graph.graph import Graph  # noqa: PLC0415

    with Graph().as_default() as graph:
        yield graph


@pytest.fixture(scope="session")
def tensorflow_has_onednn(tf):
    """Whether TensorFlow uses oneDNN, as it does on processors of some kinds."""
    from tensorflow.python.util import _pywrap_util_port as port  # noqa: PLC0415

    return port.IsMklEnabled()


@pytest.fixture(scope="session")
def tf():
    """Real TensorFlow's compat.v1 in the mode that tfsession follows."""
    pytest.importorskip("tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow.compat.v1 as real  # noqa: PLC0415

        real.disable_v2_behavior()
        # The first session decides for the whole process how many threads share an op, and that
        # shows in some values: with one thread they do not depend on the order of the tests.
        with (
            real.Graph().as_default(),
            real.Session(config=real.ConfigProto(intra_op_parallelism_threads=1)) as session,
        ):
            session.run(real.constant(0))
    gc.collect()
    gc.freeze()
    return real
