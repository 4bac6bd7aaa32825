"""What a full disk leaves: an error that says so, and what was there before, whole."""

import contextlib
import errno
import os
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest

import tfsession as tf

FULL = tf.errors.ResourceExhaustedError
# As large as several of the writer's pieces.
VALUES = np.arange(700_000, dtype=np.float32)


@contextlib.contextmanager
def no_file_larger(size):
    """As if the disk were full when a file has grown to `size` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextlib.contextmanager
def nth_call_fails(monkeypatch, number):
    """The call of that number to what may need room on the disk fails; gives the calls' count."""
    calls = []

    def failing(function):
        def called(*args, **kwargs):
            calls.append(function)
            if len(calls) == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*args, **kwargs)

        return called

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(os.fsync))
        for name in ("mkdir", "replace", "write_bytes", "open"):
            patch.setattr(Path, name, failing(getattr(Path, name)))
        yield calls


class Program:
    """A variable, with a first checkpoint of it in a directory."""

    def __init__(self, directory, **settings):
        self.directory, self.prefix = directory, str(directory / "m")
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.v = tf.get_variable("v", initializer=tf.zeros([VALUES.size]))
            self.set = tf.assign(self.v, tf.placeholder(tf.float32, [VALUES.size], name="x"))
            self.saver = tf.train.Saver(**settings)
        self.session = tf.Session(graph=self.graph)
        self.session.run(self.v.initializer)
        self.save(1)
        self.files = {p.name: p.read_bytes() for p in directory.iterdir()}

    def save(self, step):
        self.session.run(self.set, {"x:0": VALUES * step})
        return self.saver.save(self.session, self.prefix, step)

    def check_as_before(self):
        """The first checkpoint is the latest, whole, and nothing half-written is beside it."""
        found = {p.name: p.read_bytes() for p in self.directory.iterdir()}
        assert {name: found.get(name) for name in self.files} == self.files
        extra = sorted(found.keys() - self.files.keys())
        # All of a checkpoint that the state file does not name yet may be there.
        assert not [name for name in extra if ".tempstate" in name or "_temp" in name]
        assert "m-2.index.next" in extra or not [n for n in extra if n.endswith(".next")]
        latest = tf.train.latest_checkpoint(str(self.directory))
        assert latest == f"{self.prefix}-1"
        np.testing.assert_array_equal(tf.train.load_variable(latest, "v"), VALUES)
        if any(name.startswith("m-2.index") for name in extra):
            np.testing.assert_array_equal(
                tf.train.load_variable(f"{self.prefix}-2", "v"), VALUES * 2
            )

    def check_goes_on(self):
        saved = self.save(2)
        assert tf.train.latest_checkpoint(str(self.directory)) == saved
        np.testing.assert_array_equal(tf.train.load_variable(f"{self.prefix}-2", "v"), VALUES * 2)


SETTINGS = [{}, {"sharded": True}, {"write_version": 1}]


@pytest.mark.parametrize("settings", SETTINGS, ids=["V2", "sharded", "V1"])
@pytest.mark.parametrize("size", [0, 1, 100, 1 << 20, (1 << 21) + 5, VALUES.nbytes - 1])
def test_a_save(tmp_path, settings, size):
    program = Program(tmp_path, **settings)
    with no_file_larger(size), pytest.raises(FULL, match=r"(?s)m-2.*Free some space") as error:
        program.save(2)
    assert error.value.op is not None
    program.check_as_before()
    program.check_goes_on()


@pytest.mark.parametrize("settings", SETTINGS, ids=["V2", "sharded", "V1"])
def test_a_save_that_fails_at_each_step(tmp_path, monkeypatch, settings):
    number, count = 0, 1
    while number < count:
        number += 1
        directory = tmp_path / str(number)
        directory.mkdir()
        program = Program(directory, **settings)
        with nth_call_fails(monkeypatch, number) as calls:
            try:
                program.save(2)
            except tf.errors.OpError as error:
                assert isinstance(error, FULL), error
                assert "Free some space" in str(error)
            else:
                count = 0  # all went well, or it was not needed
        count = count and len(calls) + 1
        if tf.train.latest_checkpoint(str(directory)) == f"{program.prefix}-1":
            program.check_as_before()
        program.check_goes_on()
    assert number > 5


def test_the_state_file_names_what_is_whole(tmp_path):
    """Where the MetaGraph does not fit, the checkpoint before stays the latest."""
    graph = tf.Graph()
    with graph.as_default(), tf.Session() as session:
        v = tf.get_variable("v", initializer=[1.0])
        for _ in range(50):
            tf.negative(v)
        session.run(v.initializer)
        saver = tf.train.Saver()
        first = saver.save(session, str(tmp_path / "m"), 1)
        with no_file_larger(2000), pytest.raises(FULL, match=r"m-2\.meta"):
            saver.save(session, str(tmp_path / "m"), 2)
        assert tf.train.latest_checkpoint(str(tmp_path)) == first
        assert tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths == [first]


def test_on_a_disk_that_is_full(tmp_path):
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(mounted)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        program = Program(mounted)
        program.save(1)
        program.files = {p.name: p.read_bytes() for p in mounted.iterdir()}
        (mounted / "other").write_bytes(bytes(2 << 20))
        with pytest.raises(FULL, match="No space left on device"):
            program.save(2)
        (mounted / "other").unlink()
        program.check_as_before()
        program.check_goes_on()
        program.session.close()
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)


def test_an_event_file(tmp_path):
    writer = tf.summary.FileWriter(str(tmp_path))
    writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag="a", simple_value=1.0)]), 1)
    writer.flush()
    (path,) = tmp_path.iterdir()
    with no_file_larger(path.stat().st_size + 10), pytest.raises(FULL, match=path.name):
        for step in range(2, 50):
            writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag="b" * 999)]), step)
            writer.flush()
    with contextlib.suppress(tf.errors.OpError):
        writer.close()
    found = []
    with contextlib.suppress(tf.errors.DataLossError):
        found += [event.step for event in tf.train.summary_iterator(str(path))]
    # The events before are there; the last record may be cut.
    with tf.summary.FileWriter(str(tmp_path)) as again:
        again.add_summary(tf.Summary(), 3)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_saved_model(tmp_path):
    words = tmp_path / "words"
    words.write_bytes(b"w" * 3000)
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [2])
        v = tf.get_variable("v", initializer=tf.zeros([1000]))
        session.run(v.initializer)
        tf.add_to_collection(tf.GraphKeys.ASSET_FILEPATHS, tf.constant(str(words)))
        for size in (100, 2000):
            with no_file_larger(size), pytest.raises(FULL, match="Free some space"):
                tf.saved_model.simple_save(session, str(tmp_path / str(size)), {"x": x}, {"y": x})
            left = [p.name for p in (tmp_path / str(size)).rglob("*") if p.is_file()]
            assert left == []
            assert not tf.saved_model.maybe_saved_model_directory(str(tmp_path / str(size)))


def test_a_file_of_the_program(tmp_path):
    file = tf.gfile.GFile(str(tmp_path / "text"), "w")
    with no_file_larger(10), pytest.raises(FULL, match="text"):
        file.write("x" * 100_000)
        file.flush()
    file.close()
    with tf.Session() as session, no_file_larger(10), pytest.raises(FULL, match="other"):
        session.run(tf.io.write_file(str(tmp_path / "other"), "x" * 100))
