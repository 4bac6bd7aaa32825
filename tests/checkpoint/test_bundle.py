"""Checkpoints of the second format: what comes back, and what is made of damaged ones."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tfsession.checkpoint import bundle_files
from tfsession.checkpoint.bundle_reader import BundleReader
from tfsession.checkpoint.bundle_writer import BundleWriter
from tfsession.checkpoint.reader import read_tensors
from tfsession.checkpoint.saved_slices import SlicesReader, SlicesWriter
from tfsession.core import dtypes, protos
from tfsession.core.errors import DataLossError, NotFoundError, OpError
from tfsession.core.tensor_parts import parse_part, whole

DTYPES = [d for d in dtypes.ALL_DTYPES if d.is_numpy_compatible]
SHAPES = [(), (3,), (2, 3), (0,), (2, 0, 3)]


def values(dtype, shape):
    if dtype is dtypes.string:
        flat = [b"t" * (i % 300) for i in range(int(np.prod(shape)))]
        made = np.empty(len(flat), object)
        made[:] = flat
        return made.reshape(shape)
    numbers = np.arange(int(np.prod(shape))).reshape(shape) % 2
    return numbers.astype(dtype.numpy[0] if dtype.is_quantized else dtype.numpy).view(dtype.numpy)


def write(prefix, tensors):
    with BundleWriter(str(prefix)) as writer:
        for name, array in tensors.items():
            writer.add(name, array, dtypes.as_dtype(array.dtype))
        writer.finish()


SAMPLE = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b/c": np.array(5, np.int32),
    "flags": np.array([True, False]),
    "texts": np.array([b"x", b"", b"y" * 300], object),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_each_dtype_and_shape(tmp_path, dtype):
    tensors = {f"t{len(shape)}_{sum(shape)}": values(dtype, shape) for shape in SHAPES}
    write(tmp_path / "m", tensors)
    reader = BundleReader(str(tmp_path / "m"))
    assert reader.names() == sorted(tensors)
    for name, expected in tensors.items():
        found = reader.read(name)
        assert reader.entry(name).dtype is dtype
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert found.flags.writeable
        np.testing.assert_array_equal(found, expected)


def test_arrays_of_any_layout(tmp_path):
    base = np.arange(24, dtype=np.int16).reshape(4, 6)
    tensors = {"t": base.T, "s": base[::2, ::-1], "b": base.astype(">i2")}
    write(tmp_path / "m", tensors)
    reader = BundleReader(str(tmp_path / "m"))
    for name, expected in tensors.items():
        np.testing.assert_array_equal(reader.read(name), expected)


def test_a_tensor_of_several_pieces(tmp_path):
    big = np.random.default_rng(0).integers(0, 255, 3 << 20, np.uint8)
    write(tmp_path / "m", {"before": np.array([1], np.uint8), "big": big})
    np.testing.assert_array_equal(BundleReader(str(tmp_path / "m")).read("big"), big)


def test_large_tensors_are_read_at_the_same_time(tmp_path):
    rng = np.random.default_rng(1)
    tensors = {f"t{i}": rng.integers(0, 255, 5 << 20, np.uint8) for i in range(4)}
    write(tmp_path / "m", tensors)
    reader = BundleReader(str(tmp_path / "m"))
    asked = [*((name, None) for name in tensors), ("t1", parse_part(f"{5 << 20} 7,9"))]
    found = read_tensors(reader, asked)
    for got, expected in zip(found, [*tensors.values(), tensors["t1"][7:16]], strict=True):
        np.testing.assert_array_equal(got, expected)
    data = bytearray(Path(bundle_files.data_name(reader.prefix, 0, 1)).read_bytes())
    data[-1] ^= 1
    Path(bundle_files.data_name(reader.prefix, 0, 1)).write_bytes(data)
    with pytest.raises(DataLossError, match="Checksum does not match"):
        read_tensors(reader, asked)


def test_a_new_checkpoint_replaces_the_old_one_only_when_it_is_whole(tmp_path):
    prefix = tmp_path / "m"
    write(prefix, SAMPLE)
    with pytest.raises(RuntimeError), BundleWriter(str(prefix)) as writer:
        writer.add("a", np.zeros(3), dtypes.float64)
        raise RuntimeError("in mid-save")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.data-00000-of-00001", "m.index"]
    assert BundleReader(str(prefix)).read("a").tolist() == SAMPLE["a"].tolist()
    write(prefix, {"z": np.zeros(2)})
    assert BundleReader(str(prefix)).names() == ["z"]


@pytest.mark.parametrize("renamed", range(5))
def test_a_save_that_ends_between_two_renames(tmp_path, monkeypatch, renamed):
    """Either the old checkpoint or the new one is there; the next save tidies up."""
    prefix = tmp_path / "m"
    write(prefix, {"x": np.zeros(3)})
    done, replace = [], Path.replace

    def counted(path, target):
        if len(done) == renamed:
            raise KeyboardInterrupt
        done.append(target)
        return replace(path, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", counted)
        write(prefix, {"x": np.ones(3)})
        raise KeyboardInterrupt
    found = BundleReader(str(prefix)).read("x").tolist()
    assert found == ([0.0] * 3 if renamed < 2 else [1.0] * 3)
    write(prefix, {"x": np.full(3, 2.0)})
    assert BundleReader(str(prefix)).read("x").tolist() == [2.0] * 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.data-00000-of-00001", "m.index"]


def test_every_flipped_bit_of_the_data_is_noticed(tmp_path):
    prefix = tmp_path / "m"
    write(prefix, SAMPLE)
    path = Path(bundle_files.data_name(str(prefix), 0, 1))
    good = path.read_bytes()
    for place in [*range(0, len(good), 7), len(good) - 1]:
        data = bytearray(good)
        data[place] ^= 1 << place % 8
        path.write_bytes(bytes(data))
        reader = BundleReader(str(prefix))
        with pytest.raises(DataLossError, match=r"match|ends within|variable-length"):
            [reader.read(name) for name in SAMPLE]


def test_missing_files(tmp_path):
    with pytest.raises(NotFoundError, match="No such file"):
        BundleReader(str(tmp_path / "m"))
    write(tmp_path / "m", SAMPLE)
    Path(bundle_files.data_name(str(tmp_path / "m"), 0, 1)).unlink()
    reader = BundleReader(str(tmp_path / "m"))
    with pytest.raises(NotFoundError, match="data-00000-of-00001; No such file or directory"):
        reader.read("a")
    with pytest.raises(NotFoundError, match="Key zz not found"):
        reader.read("zz")


# What an entry of the index may claim, with right checksums.
CLAIMS = [
    {"dtype": 99},
    {"dtype": protos.DT_RESOURCE},
    {"offset": -1},
    {"offset": 1 << 60},
    {"size": -1},
    {"size": 1 << 60},
    {"size": 23},
    {"shard_id": 1},
    {"shard_id": -1},
    {"shape": protos.TensorShapeProto(dim=[protos.TensorShapeProto.Dim(size=-1)])},
    {"shape": protos.TensorShapeProto(dim=[protos.TensorShapeProto.Dim(size=1 << 62)] * 9)},
    {"shape": protos.TensorShapeProto(unknown_rank=True)},
    {"crc32c": 1},
    {"slices": [protos.TensorSliceProto(extent=[protos.TensorSliceProto.Extent(start=5)])]},
    {"slices": [protos.TensorSliceProto(extent=[protos.TensorSliceProto.Extent()] * 2)]},
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: next(iter(c)))
def test_entries_that_claim_what_is_not_so(tmp_path, claim):
    prefix = str(tmp_path / "m")
    with BundleWriter(prefix) as writer:
        writer.add("a", SAMPLE["a"], dtypes.float32)
        entry = writer._entries[b"a"]
        for field, value in claim.items():
            if field in ("shape", "slices"):
                entry.ClearField(field)
                kind = getattr(entry, field)
                kind.CopyFrom(value) if field == "shape" else kind.extend(value)
            else:
                setattr(entry, field, value)
        writer.finish()
    with pytest.raises(OpError):
        BundleReader(prefix).read("a")


def _read_all(reader):
    for name in reader.names():
        reader.read(name)


def test_mutated_files_are_read_or_refused(tmp_path):
    """Errors of these classes and no others; nothing hangs, nothing crashes."""
    two, one = tmp_path / "two", tmp_path / "one"
    with BundleWriter(str(two)) as writer:
        for name, array in SAMPLE.items():
            writer.add(name, array, dtypes.as_dtype(array.dtype))
        writer.add_part("p", parse_part("4 2 0,3:-"), np.ones((3, 2)), dtypes.float64)
        writer.add_part("p", parse_part("4 2 3,1:-"), np.ones((1, 2)), dtypes.float64)
        writer.finish()
    table = SlicesWriter(str(one))
    for name, array in SAMPLE.items():
        table.add(name, whole(array.shape), array, dtypes.as_dtype(array.dtype))
    table.finish()
    files = [
        (Path(f"{two}.index"), lambda: BundleReader(str(two))),
        (Path(bundle_files.data_name(str(two), 0, 1)), lambda: BundleReader(str(two))),
        (one, lambda: SlicesReader(str(one))),
    ]
    random_numbers = random.Random(7)
    for path, opened in files:
        good = path.read_bytes()
        for _ in range(150):
            path.write_bytes(_mutated(good, random_numbers))
            try:
                _read_all(opened())
            except (OpError, ValueError, TypeError):
                continue
        path.write_bytes(good)
        _read_all(opened())


def _mutated(data, random_numbers):
    data = bytearray(data)
    kind = random_numbers.randrange(4)
    place = random_numbers.randrange(len(data))
    if kind == 0:
        data[place] = random_numbers.randrange(256)
    elif kind == 1:
        del data[place : place + random_numbers.randrange(1, 20)]
    elif kind == 2:
        data[place:place] = random_numbers.randbytes(random_numbers.randrange(1, 20))
    else:
        other = random_numbers.randrange(len(data))
        data[place : place + 16] = data[other : other + 16]
    return bytes(data)


KILLED = """
import sys, numpy as np
from tfsession.checkpoint.bundle_writer import BundleWriter
from tfsession.core.dtypes import int64
print("ready", flush=True)
for number in range(1, 10**6):
    with BundleWriter(sys.argv[1]) as writer:
        for name in "ab":
            writer.add(name, np.full(50_000, number), int64)
        writer.finish()
"""


def test_the_last_whole_checkpoint_loads_after_a_kill(tmp_path):
    """The same name over and over, killed at some moment of a save, which may be any."""
    prefix = str(tmp_path / "m")
    write(prefix, {name: np.zeros(50_000, np.int64) for name in "ab"})
    for delay in (0.0, 0.003, 0.011, 0.023, 0.04):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, prefix], stdout=subprocess.PIPE, env=os.environ
        )
        with process:
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
        reader = BundleReader(prefix)
        a, b = reader.read("a"), reader.read("b")
        assert (a == a[0]).all()
        assert (b == a[0]).all()
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    write(prefix, {"a": np.ones(1)})
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["m.data-00000-of-00001", "m.index"]
