"""Files as tensors: what is written is read and found, and what cannot be is told."""

import pytest

import tfsession as tf

# What these give depends on files, which a row cannot make.
COVERED = ["ReadFile", "WriteFile", "MatchingFiles"]


@pytest.fixture
def files(tmp_path):
    for name in ("b", "a", ".h"):
        (tmp_path / name).write_bytes(name.encode() + b"\0\xff")
    return tmp_path


def test_a_file_is_a_string(fresh_graph, files):
    name = tf.placeholder(tf.string, [])
    contents = tf.read_file(name)
    with tf.Session() as session:
        assert session.run(contents, {name: str(files / "a")}) == b"a\0\xff"
        (files / "a").write_bytes(b"")
        assert session.run(contents, {name: f"file://{files}/a"}) == b""


def test_a_file_is_read_anew_each_time(fresh_graph, files):
    contents = tf.read_file(str(files / "a"))
    with tf.Session() as session:
        assert session.run(contents) == b"a\0\xff"
        (files / "a").write_bytes(b"new")
        assert session.run(contents) == b"new"


def test_a_string_is_written_and_makes_its_directories(fresh_graph, tmp_path):
    path = tmp_path / "x" / "y" / "é"
    write = tf.write_file(str(path), b"\0\xff")
    with tf.Session() as session:
        assert session.run(write) is None
        assert path.read_bytes() == b"\0\xff"


def test_files_are_found(fresh_graph, files):
    pattern = tf.placeholder(tf.string)
    found = tf.matching_files(pattern)
    names = {name: str(files / name).encode() for name in ("b", "a", ".h")}
    cases = [
        (f"{files}/*", ".h a b"),
        ([f"{files}/[ab]", f"{files}/?"], "a a b b"),
        (f"{files}/c*", ""),
        ([], ""),
    ]
    with tf.Session() as session:
        for given, wanted in cases:
            expected = [names[name] for name in wanted.split()]
            assert session.run(found, {pattern: given}).tolist() == expected


def test_files_are_found_once(fresh_graph, files):
    names = tf.train.match_filenames_once(f"{files}/?")
    assert tf.local_variables() == [names]
    with tf.Session() as session:
        session.run(tf.local_variables_initializer())
        (files / "c").touch()
        assert session.run(names).tolist() == [f"{files}/{n}".encode() for n in "ab"]


def test_what_cannot_be_done_is_told(fresh_graph, files):
    name, text = tf.placeholder(tf.string), tf.placeholder(tf.string)
    read, write, found = tf.read_file(name), tf.write_file(name, text), tf.matching_files(name)
    here, none = str(files), str(files / "none")
    cases = [
        (read, {name: none}, tf.errors.NotFoundError, f"{none}; No such file or directory"),
        (read, {name: here}, tf.errors.FailedPreconditionError, "Is a directory"),
        (write, {name: here, text: ""}, tf.errors.FailedPreconditionError, "Is a directory"),
        (read, {name: [none]}, tf.errors.InvalidArgumentError, "must be scalar, but had shape"),
        (write, {name: none, text: [""]}, tf.errors.InvalidArgumentError, "Contents tensor must"),
        (found, {name: [[here]]}, tf.errors.InvalidArgumentError, "scalar or vector, but had"),
    ]
    with tf.Session() as session:
        for fetch, feeds, kind, message in cases:
            with pytest.raises(kind, match=message):
                session.run(fetch, feeds)
    assert not (files / "none").exists()
