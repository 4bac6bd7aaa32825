"""`tf.contrib.learn.datasets.mnist`: MNIST's files in batches, as tutorials do it.

The files are of the idx format: a magic number, the sizes, big-endian, then one byte a pixel or
label. They are read, never fetched: this library does not use the network by itself.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tfsession.core.dtypes import as_dtype, float32, uint8
from tfsession.core.exports import export, export_value
from tfsession.ops.random import get_seed

_IMAGES, _LABELS = 2051, 2049  # the magic numbers
_FILES: Final = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


class Datasets(NamedTuple):
    """What `read_data_sets` gives: three DataSets."""

    train: Any
    validation: Any
    test: Any


export_value(Datasets, "contrib.learn.datasets.mnist.Datasets")


@export("contrib.learn.datasets.mnist.dense_to_one_hot")
def dense_to_one_hot(labels_dense: Any, num_classes: int) -> np.ndarray:
    """Class numbers, a vector, as rows of zeros with a one; float64."""
    found = np.zeros((len(labels_dense), num_classes))
    found[np.arange(len(labels_dense)), np.ravel(labels_dense)] = 1
    return found


@export("contrib.learn.datasets.mnist.extract_images")
def extract_images(f: Any) -> np.ndarray:
    """The images of an open file, gzipped: uint8 of [count, rows, columns, 1].

    Raises:
        ValueError: the file holds something else, or less.
    """
    with gzip.GzipFile(fileobj=f) as stream:
        return _images(stream.read(), f.name)


@export("contrib.learn.datasets.mnist.extract_labels")
def extract_labels(f: Any, one_hot: bool = False, num_classes: int = 10) -> np.ndarray:
    """The labels of an open file, gzipped: uint8 of [count], or [count, num_classes] if `one_hot`.

    Raises:
        ValueError: the file holds something else, or less.
    """
    with gzip.GzipFile(fileobj=f) as stream:
        return _labels(stream.read(), f.name, one_hot, num_classes)


def _images(content: bytes, name: str) -> np.ndarray:
    return _array(content, name, "image", _IMAGES)[..., np.newaxis]


def _labels(content: bytes, name: str, one_hot: bool, num_classes: int = 10) -> np.ndarray:
    labels = _array(content, name, "label", _LABELS)
    if labels.size and int(labels.max()) >= num_classes and one_hot:
        raise ValueError(f"{name} has label {labels.max()}, and there are {num_classes} classes")
    return dense_to_one_hot(labels, num_classes) if one_hot else labels


def _array(content: bytes, name: str, what: str, magic: int) -> np.ndarray:
    rank = magic & 0xFF
    start = 4 + 4 * rank
    if len(content) < start:
        raise ValueError(f"{name} ends within its header")
    found, *sizes = struct.unpack(f">{1 + rank}I", content[:start])
    if found != magic:
        raise ValueError(f"Invalid magic number {found} in MNIST {what} file: {name}")
    count = int(np.prod(sizes, dtype=object))
    if len(content) - start != count:
        raise ValueError(
            f"{name} has {len(content) - start} bytes of data; its header says {count}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)


@export("contrib.learn.datasets.mnist.DataSet")
class DataSet:
    """Images and labels, handed out in batches and shuffled once an epoch by `np.random`.

    Args:
        images: uint8 of [count, rows, columns, depth].
        labels: a label for each.
        fake_data: 10,000 images of ones, for tests of a program.
        one_hot: whether labels of fake data are one-hot.
        dtype: uint8 leaves the images as they are, float32 scales them to 0..1.
        reshape: give each image as one row; its depth must be 1.
        seed: of the shuffling, beside the graph's seed. As in TensorFlow, it sets NumPy's global
            random state; without any seed that is a new one each time.

    Raises:
        TypeError: `dtype` is another one.
        ValueError: there are more images than labels or less, or the depth is not 1.
    """

    def __init__(
        self,
        images: Any,
        labels: Any,
        fake_data: bool = False,
        one_hot: bool = False,
        dtype: Any = float32,
        reshape: bool = True,
        seed: int | None = None,
    ) -> None:
        graph_seed, op_seed = get_seed(seed)
        np.random.seed(graph_seed if seed is None else op_seed)  # noqa: NPY002  as tutorials expect
        dtype = as_dtype(dtype).base_dtype
        if dtype not in (uint8, float32):
            raise TypeError(f"Invalid image dtype {dtype!r}, expected uint8 or float32")
        self._num_examples = 10000
        self.one_hot = one_hot
        if not fake_data:
            if len(images) != len(labels):
                raise ValueError(f"images.shape: {images.shape} labels.shape: {labels.shape}")
            self._num_examples = len(images)
            if reshape:
                if images.shape[3] != 1:
                    raise ValueError(
                        f"Images of depth {images.shape[3]} cannot be reshaped to rows"
                    )
                images = images.reshape(len(images), images.shape[1] * images.shape[2])
            if dtype is float32:
                images = np.multiply(images.astype(np.float32), 1.0 / 255.0)
        self._images = images
        self._labels = labels
        self._epochs_completed = 0
        self._index_in_epoch = 0

    @property
    def images(self) -> Any:
        """All images, in the order of this epoch."""
        return self._images

    @property
    def labels(self) -> Any:
        """All labels, in the order of this epoch."""
        return self._labels

    @property
    def num_examples(self) -> int:
        """How many there are."""
        return self._num_examples

    @property
    def epochs_completed(self) -> int:
        """How often all have been handed out."""
        return self._epochs_completed

    def next_batch(
        self, batch_size: int, fake_data: bool = False, shuffle: bool = True
    ) -> tuple[Any, Any]:
        """The next `batch_size` images and labels; a batch may reach into the next epoch."""
        if fake_data:
            label: Any = [1] + [0] * 9 if self.one_hot else 0
            return [[1] * 784 for _ in range(batch_size)], [label for _ in range(batch_size)]
        start = self._index_in_epoch
        if start == 0 and self._epochs_completed == 0 and shuffle:
            self._shuffle()
        if start + batch_size <= self._num_examples:
            self._index_in_epoch = end = start + batch_size
            return self._images[start:end], self._labels[start:end]
        self._epochs_completed += 1
        last_images, last_labels = self._images[start:], self._labels[start:]
        if shuffle:
            self._shuffle()
        self._index_in_epoch = end = batch_size - len(last_images)
        return (
            np.concatenate((last_images, self._images[:end]), axis=0),
            np.concatenate((last_labels, self._labels[:end]), axis=0),
        )

    def _shuffle(self) -> None:
        order = np.arange(self._num_examples)
        np.random.shuffle(order)  # noqa: NPY002
        self._images, self._labels = self._images[order], self._labels[order]


@export("contrib.learn.datasets.mnist.read_data_sets")
def read_data_sets(
    train_dir: Any,
    fake_data: bool = False,
    one_hot: bool = False,
    dtype: Any = float32,
    reshape: bool = True,
    validation_size: int = 5000,
    seed: int | None = None,
    source_url: str | None = None,
) -> Datasets:
    """MNIST, or another data set in its format, from the four files in a folder.

    Args:
        train_dir: the folder; files may be gzipped, with `.gz` at the end of their names, or not.
        fake_data: read nothing; all three are fake.
        one_hot: give labels as rows of zeros with a one.
        dtype: uint8 or float32, see DataSet.
        reshape: give images as rows of pixels instead of [rows, columns, 1].
        validation_size: how many of the training images are set aside for validation.
        seed: of the shuffling, see DataSet.
        source_url: not used: nothing is fetched.

    Raises:
        FileNotFoundError: a file is missing; the error names all of them and the folder.
        ValueError: a file holds something else; `validation_size` is negative or too large.
    """
    options = {"dtype": dtype, "reshape": reshape, "seed": seed}
    if fake_data:
        fakes = (DataSet([], [], True, one_hot, dtype, seed=seed) for _ in range(3))
        return Datasets(*fakes)
    paths = _paths(Path(train_dir))
    contents = [_content(path) for path in paths]
    train_images, test_images = (_images(contents[i], str(paths[i])) for i in (0, 2))
    train_labels, test_labels = (_labels(contents[i], str(paths[i]), one_hot) for i in (1, 3))
    if not 0 <= validation_size <= len(train_images):
        raise ValueError(
            f"Validation size should be between 0 and {len(train_images)}. "
            f"Received: {validation_size}."
        )
    train = DataSet(train_images[validation_size:], train_labels[validation_size:], **options)
    validation = DataSet(train_images[:validation_size], train_labels[:validation_size], **options)
    return Datasets(train, validation, DataSet(test_images, test_labels, **options))


def _paths(folder: Path) -> list[Path]:
    found = [
        next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)
        for name in _FILES
    ]
    if None in found:
        raise FileNotFoundError(
            f"{_FILES[found.index(None)]} or the same with .gz is not in {folder.resolve()}. "
            f"tfsession does not download data: put there {', '.join(_FILES)}"
        )
    return [path for path in found if path is not None]


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no whole gzip file: {error}") from None
