"""Safetensors and npz files: what comes back, what others read, what damaged ones are told."""

import json
import random
import zipfile

import numpy as np
import pytest

from tfsession.checkpoint.npz import NpzReader
from tfsession.checkpoint.reader import open_checkpoint
from tfsession.checkpoint.safetensors import SafetensorsReader, write_safetensors
from tfsession.checkpoint.weights import WRITERS, KeptWeights
from tfsession.core import dtypes
from tfsession.core.errors import DataLossError, InvalidArgumentError, NotFoundError, OpError
from tfsession.core.tensor_parts import parse_part

ALL = [d for d in dtypes.ALL_DTYPES if d.is_numpy_compatible]
SAFE = (
    *("float64", "float32", "float16", "bfloat16", "float8_e5m2", "float8_e4m3fn", "bool"),
    *("float8_e4m3fnuz", "float8_e5m2fnuz", "complex64"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
NUMPY = (
    *("float64", "float32", "float16", "bool", "complex64", "complex128"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
SHAPES = [(), (3,), (2, 3), (0,), (2, 0, 3)]


def values(dtype, shape):
    if dtype.is_quantized:
        return np.zeros(shape, dtype.numpy)
    if dtype is dtypes.string:
        return np.full(shape, b"x", object)
    return (np.arange(int(np.prod(shape))).reshape(shape) % 2).astype(dtype.numpy)


def same(one, other):
    return (
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    )


def written(path, kind, arrays):
    WRITERS[kind](str(path), KeptWeights(arrays))
    return path


@pytest.mark.parametrize("dtype", ALL, ids=lambda d: d.name)
@pytest.mark.parametrize(("kind", "known"), [("safetensors", SAFE), ("npz", NUMPY)])
def test_each_dtype_and_shape(tmp_path, kind, known, dtype):
    arrays = {f"s/{len(shape)}_{sum(shape)}": values(dtype, shape) for shape in SHAPES}
    if dtype.name not in known:
        with pytest.raises(InvalidArgumentError, match=f"s/0_0 is of dtype {dtype.name}, which"):
            written(tmp_path / "x", kind, arrays)
        assert list(tmp_path.iterdir()) == []
        return
    reader = open_checkpoint(str(written(tmp_path / "x", kind, arrays)))
    assert reader.names() == sorted(arrays)
    for name, array in arrays.items():
        assert (reader.entry(name).dtype, reader.entry(name).shape) == (dtype, array.shape)
        assert same(reader.read(name), array)
    part = parse_part("2 3 1,1:0,2")
    assert same(reader.read("s/2_5", part), arrays["s/2_5"][1:2, 0:2])
    with pytest.raises(InvalidArgumentError, match=r"s/1_3 has shape \[3\], but a part of"):
        reader.read("s/1_3", part)
    with pytest.raises(NotFoundError, match="Key zz not found in"):
        reader.read("zz")


def test_the_formats_own_library_agrees(tmp_path):
    library = pytest.importorskip("safetensors")
    numpy_library = pytest.importorskip("safetensors.numpy")
    arrays = {d: values(dtypes.as_dtype(d), (2, 3)) for d in SAFE}
    file = written(tmp_path / "x", "safetensors", arrays)
    plain = {d for d in SAFE if np.dtype(dtypes.as_dtype(d).numpy).isbuiltin == 1}
    with library.safe_open(file, "np") as opened:
        assert set(opened.keys()) == set(SAFE)
        for name in plain:
            assert same(opened.get_tensor(name), arrays[name])
    raw = dict(library.deserialize(file.read_bytes()))
    assert {name: bytes(one["data"]) for name, one in raw.items()} == {
        name: array.tobytes() for name, array in arrays.items()
    }
    numpy_library.save_file(arrays, tmp_path / "y", {"from": "there"})
    reader = SafetensorsReader(str(tmp_path / "y"))
    assert reader.metadata == {"from": "there"}
    assert all(same(reader.read(name), array) for name, array in arrays.items())


def test_numpy_agrees(tmp_path):
    arrays = {d: values(dtypes.as_dtype(d), (2, 3)) for d in NUMPY}
    with np.load(written(tmp_path / "x.npz", "npz", arrays), allow_pickle=False) as found:
        assert all(same(found[name], array) for name, array in arrays.items())
    extra = {"F": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "be": np.arange(3, dtype=">i4")}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "y.npz", **arrays, **extra)
        reader = open_checkpoint(str(tmp_path / "y.npz"))
        assert isinstance(reader, NpzReader)
        assert all(same(reader.read(name), array) for name, array in arrays.items())
        assert reader.read("F").tolist() == extra["F"].tolist()
        assert same(reader.read("be"), np.arange(3, dtype=np.int32))
    assert written(tmp_path / "x.npz", "npz", arrays).read_bytes() == (
        written(tmp_path / "z.npz", "npz", arrays).read_bytes()
    )


def test_no_object_is_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", bad=np.array([{}], object), v=np.zeros(2, "V2"), t=np.array(["x"]))
    reader = open_checkpoint(str(tmp_path / "x.npz"))
    for name in ("bad", "v", "t"):
        with pytest.raises(InvalidArgumentError, match="which is none of tensors"):
            reader.read(name)


def header(entries, data=b"", length=None):
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


BROKEN = [
    ("short", b"\x01\0\0", "its header cannot be"),
    ("long header", header({}, length=1 << 40), "cannot be 1,099,511,627,776 bytes long"),
    ("longer than the file", header({}, length=100), "cannot be 100 bytes long"),
    ("no header", header(b""), "cannot be 0 bytes long"),
    ("a list", header([1]), "is no JSON object"),
    ("space before it", header(b" {}"), "is no JSON object"),
    ("cut", header(b'{"a": '), "is no safetensors file"),
    ("no utf-8", header(b'{"\xff": 1}'), "is no safetensors file"),
    ("deep", header(b"[" * 200_000), "nested too deeply"),
    ("twice", header(b'{"a":{},"a":{}}'), "a name twice"),
    ("metadata", header({"__metadata__": {"a": 1}}), "something else than texts"),
    ("no entry", header({"a": 3}), "lacks a dtype"),
    ("an entry with more", header({"a": entry(x=1)}, bytes(4)), "or has more"),
    ("dtype", header({"a": entry("F7")}, bytes(4)), "dtype 'F7', which is not known"),
    ("no dtype", header({"a": entry(["F32"])}, bytes(4)), "which is not known"),
    ("negative", header({"a": entry(shape=(-1,))}, bytes(4)), "no shape"),
    ("a float", header({"a": entry(shape=(1.0,))}, bytes(4)), "no shape"),
    ("a boolean", header({"a": entry(shape=(True,))}, bytes(4)), "no shape"),
    ("three offsets", header({"a": entry(offsets=(0, 4, 4))}, bytes(4)), "no offsets"),
    ("huge", header({"a": entry(shape=(1 << 62, 8), offsets=(0, 4))}, bytes(4)), "too large"),
    ("rank", header({"a": entry(shape=[1] * 65)}, bytes(4)), "too large"),
    ("size", header({"a": entry(offsets=(0, 8))}, bytes(8)), "do not fit its shape"),
    ("gap", header({"a": entry(offsets=(4, 8))}, bytes(8)), "or leave a gap"),
    ("overlap", header({"a": entry(), "b": entry(offsets=(2, 6))}, bytes(6)), "overlap"),
    ("data cut", header({"a": entry()}, bytes(3)), "its header speaks of"),
    ("data behind", header({"a": entry()}, bytes(5)), "its header speaks of"),
]


@pytest.mark.parametrize(("data", "told"), [row[1:] for row in BROKEN], ids=[r[0] for r in BROKEN])
def test_broken_safetensors(tmp_path, data, told):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(DataLossError, match=told):
        SafetensorsReader(str(tmp_path / "x"))


def test_a_file_that_changes_is_noticed(tmp_path):
    file = written(tmp_path / "x", "safetensors", {"a": np.zeros(4)})
    reader = open_checkpoint(str(file))
    written(file, "safetensors", {"b": np.ones(4)})
    with pytest.raises(DataLossError, match="has changed since it was opened"):
        reader.read("a")


def npy(text, data=b"", magic=b"\x93NUMPY\x01\x00"):
    return magic + len(text).to_bytes(2, "little") + text + data


BROKEN_ARRAYS = [
    ("magic", npy(b"{}", magic=b"\x93NUMPX\x01\x00"), "has no array"),
    ("version", npy(b"{}", magic=b"\x93NUMPY\x07\x00"), "has no array"),
    ("empty", b"", "has no array"),
    ("no dict", npy(b"3"), "damaged header"),
    ("code", npy(b"__import__('os')"), "damaged header"),
    ("cut", npy(b"{'descr': "), "damaged header"),
    ("no shape", npy(b"{'descr': '<f4', 'fortran_order': 0, 'shape': 3}"), "damaged header"),
    ("huge", npy(b"{'descr':'<f4','fortran_order':0,'shape':(1<<99,)}"), "damaged header"),
    ("much", npy(b"{'descr':'<f4','fortran_order':0,'shape':(9999999999,)}"), "another number"),
    ("cut data", npy(b"{'descr':'<f4','fortran_order':0,'shape':(2,)}", bytes(7)), "number"),
]


@pytest.mark.parametrize(
    ("data", "told"), [row[1:] for row in BROKEN_ARRAYS], ids=[row[0] for row in BROKEN_ARRAYS]
)
def test_broken_npz(tmp_path, data, told):
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(DataLossError, match=told):
        NpzReader(str(tmp_path / "x")).read("a")


def test_an_array_that_claims_more_than_its_file_can_hold(tmp_path):
    header = b"{'descr':'<f4','fortran_order':0,'shape':(%d,)}"
    data = npy(header % 268435456, bytes(8))
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("a.npy", data)
    whole = (tmp_path / "x").read_bytes()
    sizes = [(len(data) - 8 + n).to_bytes(4, "little") for n in (8, 4 * 268435456)]
    (tmp_path / "x").write_bytes(whole.replace(*sizes))
    with pytest.raises(DataLossError, match="is too short to hold the 1,073,741,824 bytes"):
        NpzReader(str(tmp_path / "x")).read("a")


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_arrays_that_numpy_compresses_otherwise(tmp_path, kind):
    with zipfile.ZipFile(tmp_path / "x", "w", kind) as archive:
        archive.writestr("a.npy", npy(b"{}"))
    with pytest.raises(DataLossError, match="not compressed as NumPy compresses"):
        open_checkpoint(str(tmp_path / "x"))


def test_other_zip_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(DataLossError, match=r"'a.txt' in it is no array"):
        open_checkpoint(str(tmp_path / "x"))
    (tmp_path / "y").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataLossError, match="is no npz file"):
        open_checkpoint(str(tmp_path / "y"))


@pytest.mark.parametrize("kind", ["safetensors", "npz"])
def test_whatever_stands_there_is_an_error_or_a_tensor(tmp_path, kind):
    chance = random.Random(7)
    arrays = {"a": np.arange(20, dtype=np.float32), "b/c": np.array([True, False])}
    good = written(tmp_path / "x", kind, arrays).read_bytes()
    told = 0
    for _ in range(800):
        data = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(data))
            data[place : place + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
        (tmp_path / "y").write_bytes(data)
        try:
            reader = open_checkpoint(str(tmp_path / "y"))
            for name in reader.names():
                reader.entry(name)
                reader.read(name)
        except OpError:
            told += 1
    assert told > 400


def test_an_error_leaves_the_old_file(tmp_path):
    class Ending(KeptWeights):
        def read(self, name):
            if name == "b":
                raise DataLossError(None, None, "so far")
            return super().read(name)

    arrays = {"a": np.zeros(3), "b": np.zeros(3)}
    for kind in ("safetensors", "npz", "v1", "v2"):
        (tmp_path / "x").write_bytes(b"old")
        with pytest.raises(DataLossError, match="so far"):
            WRITERS[kind](str(tmp_path / "x"), Ending(arrays))
        assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("x", b"old")]


def test_metadata(tmp_path):
    write_safetensors(str(tmp_path / "x"), KeptWeights({}), {"format": "tf", "ü": "é"})
    reader = SafetensorsReader(str(tmp_path / "x"))
    assert (reader.metadata, reader.names()) == ({"format": "tf", "ü": "é"}, [])
    with pytest.raises(TypeError, match="metadata must be texts by name"):
        write_safetensors(str(tmp_path / "x"), KeptWeights({}), {"a": 1})
    with pytest.raises(InvalidArgumentError, match="is called __metadata__"):
        written(tmp_path / "x", "safetensors", {"__metadata__": np.zeros(1)})
