"""Images in files: read as TensorFlow reads them, and bad bytes are an error."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

import tfsession as tf
from tfsession.kernels import image_codec_png
from tfsession.testing import Row, case_name, check_row, ints, row_cases, strings

RNG = np.random.default_rng(5)
RGB = np.kron(RNG.integers(0, 235, (5, 6, 3)), np.ones((8, 8, 1))).astype("uint8")
RGB += RNG.integers(0, 20, RGB.shape).astype("uint8")
RGBA = np.concatenate([RGB, RGB[::-1, :, :1]], axis=-1)
DEEP = RGBA.astype("uint16") * 256 + RNG.integers(0, 256, RGBA.shape).astype("uint16")


def saved(image, kind, **how):
    target = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(target, kind, **how)
    return target.getvalue()


def interlaced(image):
    """A PNG file in seven passes, without filters."""
    height, width, channels = image.shape
    deep = image.astype(">u2") if image.dtype == np.uint16 else image
    lines = []
    for row, column, down, right in image_codec_png._PASSES:
        lines += [b"\0" + line.tobytes() for line in deep[row::down, column::right] if line.size]
    fields = (width, height, image.itemsize * 8, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 1)
    return image_codec_png._file(fields, zlib.compress(b"".join(lines)))


def animation(**how):
    frames = [Image.fromarray(np.roll(RGB, i * 5, 0)[:20, :24]) for i in range(3)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], **how)


def patched(disposal):
    """Frames with holes and offsets, and what the file says is to be done with each."""
    frames = []
    for i in range(3):
        part = np.zeros((12, 10, 4), "uint8")
        part[2 * i : 2 * i + 5, i : i + 4] = RGBA[i, i] | 1
        part[2 * i : 2 * i + 5, i : i + 4, 3] = 255
        frames.append(Image.fromarray(part))
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=disposal)


GRAY, CMYK = Image.fromarray(RGB[..., 0]), Image.fromarray(RGB).convert("CMYK")
PALETTE = Image.fromarray(RGB).quantize(16)
CLEAR = Image.fromarray(RGBA).quantize(16)
JPEG, PNG, GIF = saved(RGB, "JPEG"), saved(RGB, "PNG"), animation()
FILES = {
    "JPEG": {
        "rgb": JPEG,
        "gray": saved(GRAY, "JPEG"),
        "full": saved(RGB, "JPEG", subsampling=0, progressive=True),
        "cmyk": saved(CMYK, "JPEG"),
    },
    "PNG": {
        "rgb": PNG,
        "rgba": saved(RGBA, "PNG"),
        "gray": saved(GRAY, "PNG"),
        "grayalpha": saved(np.ascontiguousarray(RGBA[..., 2:]), "PNG"),
        "one bit": saved(GRAY.convert("1"), "PNG"),
        "palette": saved(PALETTE, "PNG"),
        "palette of 4 bits": saved(PALETTE, "PNG", bits=4),
        "clear palette": saved(CLEAR, "PNG"),
        "key": saved(RGB, "PNG", transparency=tuple(map(int, RGB[0, 0]))),
        "gray key": saved(GRAY, "PNG", transparency=int(RGB[0, 0, 0])),
        "passes": interlaced(RGB),
        "deep gray": image_codec_png.encoded(DEEP[..., :1], 6),
        "deep grayalpha": image_codec_png.encoded(DEEP[..., :2], 6),
        "deep rgb": image_codec_png.encoded(DEEP[..., :3], 6),
        "deep rgba": interlaced(DEEP),
        "tiny deep": interlaced(DEEP[:2, :1]),
    },
    "GIF": {
        "one": saved(RGB, "GIF"),
        "three": GIF,
        "left": patched(1),
        "cleared": patched(2),
        "restored": patched(3),
    },
    "BMP": {
        "rgb": saved(RGB[:, :7], "BMP"),
        "gray": saved(GRAY, "BMP"),
        "rgba": saved(RGBA, "BMP"),
    },
}
DCT = {"dct_method": "INTEGER_ACCURATE"}


def _row(op, name, file, label, oracle=True, **kwargs):
    return Row(op, f"image.{name}", [strings(file, shape=())], kwargs, tolerance=0, oracle=oracle,
               label=f"{label}{kwargs}")  # fmt: skip


def _decoders():
    for label, file in FILES["JPEG"].items():
        for channels in (0, 1, 3):
            if (label, channels) != ("cmyk", 1):
                yield _row("DecodeJpeg", "decode_jpeg", file, label, channels=channels, **DCT)
        for ratio in (2, 4, 8):
            yield _row("DecodeJpeg", "decode_jpeg", file, label, ratio=ratio, **DCT)
        yield _row("ExtractJpegShape", "extract_jpeg_shape", file, label, output_type="int64")
    for label, file in FILES["PNG"].items():
        for channels in (0, 1, 3, 4):
            if "clear" not in label or channels in (0, 4):
                few_bits = channels == 4 and label in ("one bit", "palette", "palette of 4 bits")
                opaque = (
                    "its alpha is 1 or 15, not 255, in files of fewer bits" if few_bits else True
                )
                yield _row("DecodePng", "decode_png", file, label, opaque, channels=channels)
        yield _row("DecodePng", "decode_png", file, label, dtype="uint16")
        yield _row("DecodeImage", "decode_image", file, label, dtype="float32")
    for label, file in FILES["GIF"].items():
        yield _row("DecodeGif", "decode_gif", file, label)
        for dtype in ("uint16", "float32"):
            yield _row("DecodeImage", "decode_image", file, label, dtype=dtype)
        yield _row("DecodeImage", "decode_image", file, label, expand_animations=False)
    for label, file in FILES["BMP"].items():
        yield _row("DecodeBmp", "decode_bmp", file, label)
        yield _row("DecodeImage", "decode_image", file, label, dtype="float64")
    yield _row("DecodePng", "decode_png", FILES["GIF"]["one"], "gif")
    yield _row("DecodeGif", "decode_gif", PNG, "png")
    window = {"crop_window": [3, 5, 20, 30]}
    yield _row("DecodeAndCropJpeg", "decode_and_crop_jpeg", JPEG, "", **window, **DCT)


def _encoded(name, **kwargs):
    def build(module, image):
        encode, decode = (getattr(module.image, f"{p}code_{name}") for p in ("en", "de"))
        return decode(encode(image, **kwargs), **(DCT if name == "jpeg" else {}))

    return build


def _file_of(module, image, **kwargs):
    return module.stack([module.image.encode_jpeg(image, **kwargs)])


JPEG_WAYS = [{}, {"quality": 40}, {"chroma_downsampling": False}, {"optimize_size": True},
             {"progressive": True}, {"x_density": 7, "density_unit": "cm"}]  # fmt: skip
ROWS = [
    *(_row("Substr", "is_jpeg", file, label) for file, label in ((JPEG, "jpeg"), (PNG, "png"))),
    *_decoders(),
    *(Row("EncodeJpeg", _file_of, [ints(9, 11, c, high=256, dtype="uint8")], way,
          label=f"{c}{way}") for c in (1, 3) for way in JPEG_WAYS),
    *(Row("EncodePng", _encoded("png", compression=c), [ints(9, 11, n, high=256, dtype="uint8")],
          label=f"{c}{n}") for c, n in ((-1, 1), (0, 2), (9, 3), (3, 4))),
    Row("EncodePng", lambda m, x: m.image.decode_png(m.image.encode_png(x), dtype="uint16"),
        [ints(3, 2, 3, high=65536, dtype="uint16")], label="deep"),
    Row("EncodePng", "image.encode_png", [ints(3, 1, 2, 2, 3, high=256, dtype="uint8")],
        oracle="the files differ, what is in them does not", label="batch"),
    Row("EncodeJpegVariableQuality",
        lambda m, x: m.image.adjust_jpeg_quality(
            m.ensure_shape(x, [None, None, 3]), 30, dct_method="INTEGER_ACCURATE"
        ),
        [ints(9, 11, 3, high=256, dtype="uint8")]),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.fixture
def run():
    """`run(decoder, bytes, ...)`; the session must work after every error."""
    with tf.Graph().as_default(), tf.Session() as session:
        fed = tf.placeholder("string")
        one = tf.constant(1)
        made = {}

        def call(name, contents, **kwargs):
            key = f"{name}{kwargs}"
            if key not in made:
                made[key] = getattr(tf.image, name)(fed, **kwargs)
            assert session.run(one) == 1
            return session.run(made[key], {fed: contents})

        yield call


BAD = [
    ("decode_jpeg", b"", {}, "Input is empty"),
    ("decode_jpeg", b"nothing of that kind", {}, "Unknown image file format"),
    ("decode_jpeg", [b"a"], {}, r"must be scalar but got shape\[1\]"),
    ("decode_jpeg", JPEG[: len(JPEG) // 2], {}, "Invalid JPEG data"),
    ("decode_jpeg", PNG[: len(PNG) // 2], {}, "Invalid PNG data, size"),
    ("decode_jpeg", saved(RGB, "BMP"), {}, "Op used: DecodeJpeg"),
    ("decode_jpeg", GIF, {}, "Got 3 frames"),
    ("decode_jpeg", JPEG, {"ratio": 3}, "ratio must be 1, 2, 4, or 8, got 3"),
    ("decode_jpeg", JPEG, {"channels": 2}, "must be 0, 1, 3 or 4 but got 2"),
    ("decode_jpeg", JPEG, {"channels": 4}, "JPEG does not support 4 channels"),
    ("decode_jpeg", JPEG, {"dct_method": "X"}, "dct_method must be one of"),
    ("decode_jpeg", FILES["JPEG"]["cmyk"], {"channels": 1}, "Unsupported color conversion"),
    ("decode_and_crop_jpeg", JPEG, {"crop_window": [1, 1, 40, 2]}, "Invalid JPEG data or crop"),
    ("decode_and_crop_jpeg", JPEG, {"crop_window": [-1, 1, 4, 2]}, "Invalid JPEG data or crop"),
    ("decode_png", FILES["GIF"]["one"], {"channels": 1}, "channels must be 0 or 3 for GIF"),
    ("decode_bmp", PNG, {}, "Trying to decode PNG format using DecodeBmp"),
    ("decode_bmp", saved(RGB, "BMP"), {"channels": 4}, "does not match bits per pixel"),
    ("decode_bmp", saved(RGB, "BMP"), {"channels": 1}, "must be 0, 3 or 4 for BMP"),
    ("decode_bmp", saved(RGB, "BMP")[:100], {}, "Input size should match"),
    ("decode_bmp", b"BM123", {}, "at least 32 bytes"),
    ("decode_gif", GIF[:40], {}, "no frames"),
    ("extract_jpeg_shape", PNG, {}, "Invalid JPEG data, size"),
]


@pytest.mark.parametrize(("name", "contents", "kwargs", "phrase"), BAD)
def test_refused(name, contents, kwargs, phrase, run):
    with pytest.raises(tf.errors.InvalidArgumentError, match=phrase):
        run(name, contents, **kwargs)


BOMB = image_codec_png._file((60000, 60000, 8, 2, 0, 0, 0), zlib.compress(b"0"))
DEEP_BOMB = image_codec_png._file((9, 9, 16, 2, 0, 0, 0), zlib.compress(bytes(1 << 20)) * 2)


def test_bombs_are_not_unpacked(run):
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
        run("decode_png", BOMB)
    assert run("decode_png", DEEP_BOMB, dtype="uint16").shape == (9, 9, 3)
    huge = bytearray(saved(RGB, "BMP"))
    huge[18:26] = struct.pack("<ii", 1 << 30, 1 << 30)
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
        run("decode_bmp", bytes(huge))
    wide = bytearray(GIF)
    at = wide.index(b"\x2c", 13 + 768)
    wide[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
        run("decode_gif", bytes(wide))


def test_a_truncated_jpeg_is_recovered(run):
    whole, half = (run("decode_jpeg", c, try_recover_truncated=True)
                   for c in (JPEG, JPEG[: len(JPEG) * 3 // 4]))  # fmt: skip
    assert half.shape == whole.shape
    assert np.array_equal(half[:8, :12], whole[:8, :12])
    assert not np.array_equal(half, whole)


def test_whole_frames_of_a_truncated_animation(run):
    whole, part = run("decode_gif", GIF), run("decode_gif", GIF[:-60])
    assert 0 < len(part) < len(whole)
    assert np.array_equal(part, whole[: len(part)])


KINDS = [(kind, label) for kind, files in FILES.items() for label in files]


@pytest.mark.parametrize(("kind", "label"), KINDS)
def test_broken_bytes_give_an_image_or_an_error(kind, label, run):
    """Bytes changed, cut out and repeated, each time others, but the same ones in every run."""
    rng = np.random.default_rng(len(label))
    file = FILES[kind][label]
    for _ in range(12):
        data = bytearray(file)
        for _ in range(rng.integers(1, 6)):
            at = int(rng.integers(0, min(len(data), rng.choice([40, len(data)]))))
            data[at] = int(rng.integers(0, 256))
        cut = int(rng.integers(0, len(data)))
        data = data[:cut] + data[cut + int(rng.integers(0, 4)) :]
        try:
            image = run("decode_image", bytes(data))
        except tf.errors.InvalidArgumentError:
            continue
        assert image.dtype == np.uint8
        assert image.ndim in (3, 4)


def test_encoders_refuse(fresh_graph):
    fed = tf.placeholder("uint8")
    for build, shape, phrase in (
        (tf.image.encode_jpeg, (2, 2, 2), "must have 1 or 3 channels"),
        (tf.image.encode_jpeg, (0, 2, 3), "JPEG encoding failed"),
        (lambda x: tf.image.encode_jpeg(x, quality=101), (2, 2, 3), r"quality must be in \[0,100"),
        (lambda x: tf.image.encode_jpeg(x, format="rgb"), (2, 2, 1), "rgb expects 3 channels"),
        (tf.image.encode_png, (2, 2, 5), "must have 1, 2, 3, or 4 channels"),
        (tf.image.encode_png, (0, 2, 3), "must have pixels"),
        (lambda x: tf.image.encode_png(x, compression=11), (2, 2, 3), r"should be in \[-1,9\]"),
    ):
        with (
            tf.Session() as session,
            pytest.raises(tf.errors.InvalidArgumentError, match=phrase),
        ):
            session.run(build(fed), {fed: np.zeros(shape, "uint8")})


def test_pillow_is_asked_for_by_name(run, monkeypatch):
    for name in [n for n in sys.modules if n == "PIL" or n.startswith("PIL.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(tf.errors.UnimplementedError, match=r"pip install 'tfsession\[image\]'"):
        run("decode_jpeg", JPEG)
    assert run("decode_bmp", saved_bmp()).shape == (2, 1, 3)


def saved_bmp():
    """Written by hand: Pillow is gone."""
    return struct.pack("<2sIHHI IiiHHIIiiII", b"BM", 62, 0, 0, 54, 40, 1, 2, 1, 24, 0, 8, 0, 0, 0,
                       0) + bytes(8)  # fmt: skip
