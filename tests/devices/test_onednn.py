"""oneDNN is found, taken or refused with a reason, and keeps to the thread that calls it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfsession.devices import onednn

THREADS = """
import os
import numpy as np
import tfsession as tf

x = tf.placeholder("float32", [8, 64, 64, 32])
y = tf.nn.depthwise_conv2d(x, tf.ones([3, 3, 32, 1]), [1, 1, 1, 1], "SAME")
y = tf.nn.softmax(tf.nn.max_pool(y, [1, 2, 2, 1], [1, 2, 2, 1], "SAME"))
with tf.Session(config=tf.ConfigProto(intra_op_parallelism_threads=1)) as session:
    begun = len(os.listdir("/proc/self/task"))
    session.run([y, tf.gradients(y, x)], {x: np.ones((8, 64, 64, 32))})
    print(len(os.listdir("/proc/self/task")) - begun)
    if os.fork() == 0:
        print(session.run(tf.reduce_sum(y), {x: np.ones((8, 64, 64, 32))}), flush=True)
        os._exit(0)
    os.wait()
"""


def loaded(major=3, runtime=2):
    """What the search has found, of some version."""
    version = onednn._Version(major, 2, 1, b"", runtime, 0)
    return onednn._Loaded("libdnnl.so", version, None, None)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, "not installed"),
        (loaded(), "3.2.1, threads: OpenMP"),
        (loaded(runtime=1), "3.2.1, threads: sequential"),
        (loaded(2), "2.2.1, threads: OpenMP; not used, version 3 is wanted"),
        (loaded(runtime=512), "3.2.1, threads: SYCL; not used, one built with OpenMP is wanted"),
        (loaded(runtime=77), "3.2.1, threads: unknown; not used, one built with OpenMP is wanted"),
    ],
)
def test_what_is_found_is_described(monkeypatch, found, text):
    monkeypatch.setattr(onednn, "_loaded", lambda: found)
    assert onednn.description() == text


@pytest.mark.parametrize("value", ["0", "false", " False "])
def test_tensorflows_switch_turns_it_off(monkeypatch, value):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", value)
    monkeypatch.setattr(onednn, "_loaded", loaded)
    assert onednn.description().endswith("; not used, TF_ENABLE_ONEDNN_OPTS=0")
    assert not onednn._is_wanted()


def test_a_library_of_that_name_that_is_another_is_passed_over(monkeypatch, tmp_path):
    (tmp_path / "libdnnl.so.3").write_text("no library")
    monkeypatch.setattr(onednn, "_places", lambda: [str(tmp_path / "libdnnl.so.3"), "libc.so.6"])
    assert onednn._loaded.__wrapped__() is None


@pytest.mark.onednn
def test_arrays_are_taken_where_they_are_of_float32_and_without_gaps():
    whole = np.ones((4, 6), np.float32)
    assert onednn.dnn_library(np, whole, whole[:2]) is not None
    for other in (whole[:, :3], whole.T, whole[:0], whole.astype("float64"), None):
        assert onednn.dnn_library(np, whole, other) is None
    assert onednn.dnn_library(object(), whole) is None


@pytest.mark.onednn
def test_arrays_of_another_size_are_refused():
    library = onednn.dnn_library(np)
    rows = library.layout((2, 3), (3, 1))
    copy = library.reorder(rows, rows)
    given, out = np.arange(6, dtype=np.float32), np.zeros(6, np.float32)
    copy(given, out)
    np.testing.assert_array_equal(out, given)
    for wrong in (np.zeros(5, np.float32), np.zeros((6, 2), np.float32)[:, 0]):
        with pytest.raises(ValueError, match="bytes where 24 belong"):
            copy(given, wrong)


@pytest.mark.onednn
def test_what_it_cannot_do_is_none():
    library = onednn.dnn_library(np)
    rows = library.layout((2, 3), (3, 1))
    assert library.describe("softmax_forward", 96, 0x30000, rows, rows, 7) is None


@pytest.mark.onednn
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux")
def test_it_starts_no_threads_and_works_in_a_forked_child():
    done = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["0", "8192.0"]
