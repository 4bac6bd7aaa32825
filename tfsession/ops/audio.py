"""Sound: WAV files, spectra over time, and cepstral coefficients."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import scalar, with_rank
from tfsession.graph.tensor import Tensor


def _audio_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 0)
    sizes = [op.attrs[name] for name in ("desired_samples", "desired_channels")]
    for size in sizes:
        if size < -1:
            raise ValueError(f"desired_samples and desired_channels must be -1 or more, not {size}")
    return [tuple(None if size == -1 else size for size in sizes), ()]


def _spectrogram_shape(op: Operation) -> list[Shape]:
    sizes = with_rank(op.inputs[0]._shape, 2)
    assert sizes is not None
    window, stride = op.attrs["window_size"], op.attrs["stride"]
    if window < 2 or stride < 1:
        raise ValueError(f"window_size must be 2 or more, stride positive: {window}, {stride}")
    samples, channels = sizes
    frames = None if samples is None else max((samples - window) // stride + 1, 0)
    return [(channels, frames, (1 << (window - 1).bit_length()) // 2 + 1)]


def _mfcc_shape(op: Operation) -> list[Shape]:
    sizes = with_rank(op.inputs[0]._shape, 3)
    with_rank(op.inputs[1]._shape, 0)
    assert sizes is not None
    return [(*sizes[:2], op.attrs["dct_coefficient_count"])]


define_op(
    "DecodeWav",
    inputs=["contents: string"],
    outputs=["audio: float", "sample_rate: int32"],
    attrs=["desired_channels: int = -1", "desired_samples: int = -1"],
    shape=_audio_shape,
)


def _wav_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 2)
    with_rank(op.inputs[1]._shape, 0)
    return scalar(op)


define_op(
    "EncodeWav",
    inputs=["audio: float", "sample_rate: int32"],
    outputs=["contents: string"],
    shape=_wav_shape,
)
define_op(
    "AudioSpectrogram",
    inputs=["input: float"],
    outputs=["spectrogram: float"],
    attrs=["window_size: int", "stride: int", "magnitude_squared: bool = false"],
    shape=_spectrogram_shape,
)
define_op(
    "Mfcc",
    inputs=["spectrogram: float", "sample_rate: int32"],
    outputs=["output: float"],
    attrs=[
        *("upper_frequency_limit: float = 4000.0", "lower_frequency_limit: float = 20.0"),
        *("filterbank_channel_count: int = 40", "dct_coefficient_count: int = 13"),
    ],
    shape=_mfcc_shape,
)


@export("audio.decode_wav")
def decode_wav(
    contents: Any, desired_channels: int = -1, desired_samples: int = -1, name: str | None = None
) -> Any:
    """The sound of a WAV file of 16 bits a sample, in [-1, 1).

    Args:
        contents: a string scalar, the file.
        desired_channels: how many channels to give, the last one repeated; -1 for the file's.
        desired_samples: how many samples to give, zeros behind the end; -1 for the file's.
        name: of the operation.

    Returns:
        `audio`, float32 of shape `[samples, channels]`, and `sample_rate`, samples a second.

    Raises:
        InvalidArgumentError: in a step, where it is no such file.
    """
    attrs = {"desired_channels": desired_channels, "desired_samples": desired_samples}
    return create_op("DecodeWav", [contents], attrs, name)


@export("audio.encode_wav")
def encode_wav(audio: Any, sample_rate: Any, name: str | None = None) -> Tensor:
    """A WAV file of 16 bits a sample.

    Args:
        audio: float32 of shape `[samples, channels]`, in [-1, 1).
        sample_rate: samples a second.
        name: of the operation.
    """
    result: Tensor = create_op("EncodeWav", [audio, sample_rate], name=name)
    return result
