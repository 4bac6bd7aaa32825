"""The pytest plugin as a project that uses tfsession meets it: in a pytest of its own."""

import os
import re
import subprocess
import sys
from importlib import resources
from importlib.metadata import entry_points
from textwrap import dedent

import pytest

import tfsession as tf
from tfsession import testing

CASES = """
    import pytest
    import tfsession as tf

    def y_on(device):
        x = tf.placeholder(tf.float32, [4], name="x")
        with tf.device(device):
            return tf.square(x, name="y")

    def test_passed(simulated_session):
        assert tf.get_default_graph().get_operations() == []
        y = y_on("/gpu:1")
        session = simulated_session(gpus=2, memory="1KiB")
        other = simulated_session(2, config=tf.ConfigProto(device_count={"CPU": 3}))
        assert [d.memory_limit_bytes for d in session.list_devices()[1:]] == [1024, 1024]
        assert [d.device_type for d in other.list_devices()] == ["CPU"] * 3 + ["GPU"] * 2
        with session.counting() as counted:
            session.run(y, {"x:0": range(4)})
        assert counted["/gpu:1"].device_to_host == 1
        v = tf.get_variable("v", [4])  # what the session holds is no leak
        other.run(v.initializer)

    def test_passed_closing_itself(simulated_session):
        with simulated_session() as session:
            session.run(y_on("/gpu:0"), {"x:0": range(4)})

    kept = []

    def test_leaks(simulated_session):
        y = y_on("/gpu:0")
        session = simulated_session()
        kept.append(session.make_callable(y, ["x:0"], device_fetches=True)([1, 2, 3, 4]))

    def test_fails(simulated_session):
        y = y_on("/gpu:0")
        session = simulated_session()
        array = session.make_callable(y, ["x:0"], device_fetches=True)([1, 2, 3, 4])
        assert array is None

    @pytest.mark.xfail(strict=True)
    def test_fails_as_expected(simulated_session):
        y = y_on("/gpu:0")
        array = simulated_session().make_callable(y, ["x:0"], device_fetches=True)([1, 2, 3, 4])
        assert array is None

    def test_passed_everywhere(tf_device):
        y = y_on(tf_device)
        with tf.Session() as session:
            assert session.run(y, {"x:0": range(4)}).tolist() == [0, 1, 4, 9]
            assert session.placement()["y"].lower().endswith(tf_device[1:])
            assert any(d.device_type == "GPU" for d in session.list_devices()) or "cpu" in tf_device
"""


def run_pytest(folder, name, text, *options):
    """The outcome of each test of a file, and all that pytest printed."""
    (folder / name).write_text(dedent(text))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TFSESSION_")}
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-W", "error", *options, name]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        capture_output=True, text=True, env=environment, cwd=folder, check=False, timeout=100,
    )  # fmt: skip
    found = re.findall(r"^(PASSED|FAILED|ERROR|XFAIL|SKIPPED) \S*?::(\S+)", done.stdout, re.M)
    return {name: outcome for outcome, name in found}, done.stdout + done.stderr


def test_the_fixtures_are_there_and_tell_leaks(tmp_path):
    outcomes, text = run_pytest(tmp_path, "test_model.py", CASES)
    assert outcomes == {
        "test_passed": "PASSED",
        "test_passed_closing_itself": "PASSED",
        "test_leaks": "ERROR",  # at its end, after it has passed
        "test_fails": "FAILED",  # and no word about what its traceback holds
        "test_fails_as_expected": "XFAIL",
        "test_passed_everywhere[cpu]": "PASSED",
        "test_passed_everywhere[simulated]": "PASSED",
    } | ({"test_passed_everywhere[cuda]": "PASSED"} if testing.has_cuda_gpu() else {}), text
    assert "16 bytes of y (Square), 1 in number, on GPU:0" in text
    assert text.count("After close() arrays are still alive") <= 2  # the error, and its summary


def test_the_plugin_is_registered_once():
    (found,) = [e for e in entry_points(group="pytest11") if e.value.startswith("tfsession.")]
    assert (found.name, found.value) == ("tfsession", "tfsession.testing.plugin")


LIGHT = """
import sys
import pytest
import tfsession
before = set(sys.modules)
import tfsession.testing.plugin
print(sorted(set(sys.modules) - before))
"""
WITHOUT_PYTEST = """
import sys
sys.modules["pytest"] = None
import tfsession.testing as testing
assert all(getattr(testing, name) is not None for name in testing.__all__)
print(sorted(n for n in sys.modules if n.startswith("tfsession.testing")))
"""


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        (LIGHT, ["tfsession.testing", "tfsession.testing.plugin"]),
        (WITHOUT_PYTEST, ["tfsession.testing" + m for m in ("", ".rows", ".sessions")]),
    ],
)
def test_what_is_loaded(code, modules):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == str(modules)


def test_names():
    assert set(testing.__all__) <= set(dir(testing))
    with pytest.raises(AttributeError, match="no attribute 'Rows'"):
        testing.Rows  # noqa: B018


# --- without fixtures -----------------------------------------------------------------------------


def test_a_session_in_a_block(fresh_graph):
    with tf.device("/gpu:0"):
        y = tf.square(tf.placeholder(tf.float32, [2], name="x"))
    with testing.simulated_session(gpus=1, memory=4096) as session:
        assert tf.get_default_session() is session
        assert y.eval({"x:0": [2, 3]}).tolist() == [4, 9]
    with pytest.raises(RuntimeError, match="closed"):
        session.run(y, {"x:0": [2, 3]})
    with pytest.raises(ZeroDivisionError), testing.simulated_session() as session:
        array = session.make_callable(y, ["x:0"], device_fetches=True)([1, 2])
        raise ZeroDivisionError  # comes out as it is
    with pytest.raises(AssertionError, match="8 bytes of Square"):
        testing.assert_all_returned(session)
    del array
    testing.assert_all_returned(session)


@pytest.mark.parametrize(
    ("gpus", "memory", "config", "environment", "complaint"),
    [
        (1, "1MiB", {"device_count": {"GPU": 0}}, "0", "No simulated GPU is left"),
        (1, "1MiB", {}, "1", "TFSESSION_DISABLE_GPU"),
        (1, "much", {}, "0", "simulated_gpus must be"),
        (-1, "1MiB", {}, "0", "simulated_gpus must be"),
    ],
)
def test_what_cannot_be_made(monkeypatch, gpus, memory, config, environment, complaint):
    monkeypatch.setenv("TFSESSION_DISABLE_GPU", environment)
    with pytest.raises(tf.errors.InvalidArgumentError, match=complaint):
        testing.make_simulated_session(gpus, memory, tf.ConfigProto(**config))


def test_counting(fresh_graph):
    x = tf.placeholder(tf.float32, [4], name="x")
    with tf.device("/gpu:0"):
        y = x * 2.0
    with testing.simulated_session(gpus=2) as session:
        session.run(y, {x: range(4)})
        since = session.counting()
        session.run(y, {x: range(4)})
        with session.counting() as first:
            session.run(y, {x: range(4)})
        with first, session.counting() as inner:  # begins anew
            session.run([y, y], {x: range(4)})
            assert first["/gpu:0"] == inner["/gpu:0"]
        session.run(y, {x: range(4)})
    one = testing.Counters(
        launches=1,
        host_to_device=1,
        device_to_host=1,
        synchronizations=1,
        host_to_device_bytes=16,
        device_to_host_bytes=16,
    )
    assert first["/gpu:0"] == first["GPU:0"] == first["/device:GPU:0"] == first.total == one
    assert first["/gpu:1"] == testing.Counters()
    assert since.total == testing.Counters(*(4 * count for count in one))
    assert repr(first) == (
        "<Counting GPU:0: launches=1, host_to_device=1, device_to_host=1, synchronizations=1, "
        "host_to_device_bytes=16, device_to_host_bytes=16; GPU:1: nothing>"
    )
    for device, complaint in (
        ("/cpu:0", "counts nothing: only simulated GPUs do"),
        ("/gpu:2", "none of this session's devices"),
        ("/gpu:*", "several"),
        ("the first", "no device name"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=complaint):
            first[device]


# --- what the documentation shows -----------------------------------------------------------------


def test_the_examples_of_the_documentation(tmp_path):
    text = resources.files(tf).joinpath("docs/testing.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 4
    (tmp_path / "model.py").write_text(examples[0])
    outcomes, told = run_pytest(tmp_path, "test_model.py", "\n".join(examples[1:]))
    assert len(outcomes) >= 8, told
    assert set(outcomes.values()) <= {"PASSED", "SKIPPED"}, told
