"""MNIST's files: read as they are, handed out as the tutorials' module did."""

import gzip
import struct

import numpy as np
import pytest

import tfsession as tf

input_data = tf.contrib.learn.datasets.mnist
NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte",
         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]  # fmt: skip


def images_of(count, first=0):
    grey = (np.arange(count)[:, None, None] + first + np.arange(3)[:, None] * np.arange(2)) % 256
    return grey.astype(np.uint8)


def labels_of(count):
    return (np.arange(count) % 10).astype(np.uint8)


def idx(magic, array):
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


@pytest.fixture(params=["gzipped", "plain"])
def folder(request, tmp_path):
    contents = [idx(2051, images_of(30)), idx(2049, labels_of(30)),
                idx(2051, images_of(8, 100)), idx(2049, labels_of(8))]  # fmt: skip
    for name, content in zip(NAMES, contents, strict=True):
        if request.param == "gzipped":
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (tmp_path / name).write_bytes(content)
    return tmp_path


def test_what_is_read(folder):
    data = input_data.read_data_sets(str(folder), one_hot=True, validation_size=10)
    assert [d.num_examples for d in data] == [20, 10, 8]
    assert (data.train.images.shape, data.train.images.dtype) == ((20, 6), np.float32)
    np.testing.assert_array_equal(
        data.validation.images, images_of(30)[:10].reshape(10, 6).astype(np.float32) * (1 / 255)
    )
    np.testing.assert_array_equal(data.test.labels, np.eye(10)[labels_of(8)])
    data = input_data.read_data_sets(
        folder, dtype=tf.uint8, reshape=False, validation_size=0, seed=3
    )
    np.testing.assert_array_equal(data.train.images[..., 0], images_of(30))
    np.testing.assert_array_equal(data.train.labels, labels_of(30))


def test_batches_are_shuffled_by_numpy(folder):
    data = input_data.read_data_sets(folder, validation_size=10, seed=5).train
    images, labels = images_of(30)[10:].reshape(20, 6) * np.float32(1 / 255), labels_of(30)[10:]
    state = np.random.RandomState(5)
    first, second = np.arange(20), np.arange(20)
    state.shuffle(first)
    state.shuffle(second)
    expected = np.concatenate([first, first[second]])
    np.random.seed(5)  # noqa: NPY002
    for step, size in enumerate((8, 8, 8, 8, 8)):
        chosen = expected[step * 8 : step * 8 + size]
        batch = data.next_batch(size)
        np.testing.assert_array_equal(batch[0], images[chosen])
        np.testing.assert_array_equal(batch[1], labels[chosen])
        assert data.epochs_completed == (step >= 2)


def test_without_shuffling(folder):
    data = input_data.read_data_sets(folder, validation_size=10).test
    found = [data.next_batch(3, shuffle=False)[1].tolist() for _ in range(4)]
    assert found == [[0, 1, 2], [3, 4, 5], [6, 7, 0], [1, 2, 3]]


def test_the_seed_of_the_graph(folder):
    with tf.Graph().as_default():
        tf.set_random_seed(7)
        input_data.read_data_sets(folder, validation_size=10)
        assert np.random.randint(1 << 30) == np.random.RandomState(7).randint(1 << 30)  # noqa: NPY002


def test_fake_data():
    data = input_data.read_data_sets("", fake_data=True, one_hot=True)
    images, labels = data.train.next_batch(2, fake_data=True)
    assert (images, labels) == ([[1] * 784] * 2, [[1] + [0] * 9] * 2)
    assert data.test.num_examples == 10000


def test_nothing_is_fetched(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        input_data.read_data_sets(tmp_path)
    assert all(text in str(caught.value) for text in (*NAMES, str(tmp_path.resolve())))


BROKEN = [
    (b"", "ends within its header"),
    (idx(2049, images_of(3)), "Invalid magic number 2049 in MNIST image file"),
    (idx(2051, images_of(3))[:-1], "has 17 bytes of data; its header says 18"),
    (struct.pack(">4I", 2051, *[2**32 - 1] * 3), "has 0 bytes of data"),
]


@pytest.mark.parametrize(("content", "reason"), BROKEN)
def test_broken_files(content, reason, tmp_path):
    for name in NAMES:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        input_data.read_data_sets(tmp_path)
    (tmp_path / f"{NAMES[0]}.gz").write_bytes(gzip.compress(content)[:-5])
    with pytest.raises(ValueError, match="is no whole gzip file"):
        input_data.read_data_sets(tmp_path)
    (tmp_path / f"{NAMES[0]}.gz").write_bytes(gzip.compress(content)[:10] + b"\xff" * 20)
    with pytest.raises(ValueError, match="is no whole gzip file"):
        input_data.read_data_sets(tmp_path)


def test_wrong_arguments(folder):
    with pytest.raises(ValueError, match=r"between 0 and 30\. Received: 31\."):
        input_data.read_data_sets(folder, validation_size=31)
    with pytest.raises(TypeError, match="expected uint8 or float32"):
        input_data.read_data_sets(folder, validation_size=0, dtype=tf.int32)


def test_open_files(folder, tmp_path):
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(idx(2049, labels_of(4))))
    with path.open("rb") as file:
        assert input_data.extract_labels(file, one_hot=True).tolist() == np.eye(10)[:4].tolist()
    path.write_bytes(gzip.compress(idx(2051, images_of(4))))
    with path.open("rb") as file:
        np.testing.assert_array_equal(input_data.extract_images(file)[..., 0], images_of(4))
