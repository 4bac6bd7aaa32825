"""Sound: WAV files, spectra over time, and cepstral coefficients.

The formulas are those of core/lib/wav/wav_io.cc and of core/kernels/spectrogram.cc,
mfcc_mel_filterbank.cc and mfcc_dct.cc.
"""

from __future__ import annotations

import math
import struct
from typing import Any, Final

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.devices.constants import constant

_FULL: Final = np.float32(1 << 15)
_FLOOR: Final = 1e-12


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


# --- files ----------------------------------------------------------------------------------------


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The parts of a RIFF file by name, up to the sound."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise _refuse("Header mismatch: Expected RIFF and WAVE at the start of a WAV file")
    found: dict[bytes, bytes] = {}
    start = 12
    while start + 8 <= len(data) and b"data" not in found:
        name, (size,) = data[start : start + 4], struct.unpack_from("<I", data, start + 4)
        if start + 8 + size > len(data):
            raise _refuse(f"WAV file: chunk {name!r} of {size} bytes goes beyond its end")
        found[name] = data[start + 8 : start + 8 + size]
        start += 8 + size
    return found


@kernel("DecodeWav", device="CPU")
def decode_wav(xp: Any, contents: Any, *, desired_channels: int, desired_samples: int) -> Any:
    """The sound, and samples a second."""
    if contents.ndim:
        raise _refuse(f"Input contents should be scalar, got shape {contents.shape}")
    chunks = _chunks(contents[()])
    head = chunks.get(b"fmt ", b"")
    if len(head) < 16 or b"data" not in chunks:
        raise _refuse("WAV file has no format or no data")
    kind, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", head)
    if kind != 1 or bits != 16:
        raise _refuse(f"Can only read 16-bit PCM WAV files, not {bits} bits of format {kind}")
    if not channels or block != 2 * channels or rate > 0x7FFFFFFF:
        raise _refuse(f"Bad WAV file: {channels} channels, blocks of {block} bytes, rate {rate}")
    sound = chunks[b"data"]
    count = len(sound) // block
    whole = np.frombuffer(sound, "<i2", count * channels).reshape(count, channels)
    samples = count if desired_samples == -1 else desired_samples
    taken = np.minimum(np.arange(desired_channels if desired_channels > -1 else channels),
                       channels - 1)  # fmt: skip
    audio = np.zeros((samples, len(taken)), np.float32)
    audio[:count] = whole[:samples, taken] / _FULL
    return audio, np.int32(rate)


@kernel("EncodeWav", device="CPU")
def encode_wav(xp: Any, audio: Any, sample_rate: Any) -> Any:
    """A file of 16 bits a sample."""
    if audio.ndim != 2 or sample_rate.ndim:
        raise _refuse(f"audio must be a matrix, its rate a scalar, not {audio.shape}")
    rate, channels = int(sample_rate), audio.shape[1]
    if rate < 1 or not 1 <= channels <= 0xFFFF or not len(audio):
        raise _refuse(f"WAV files need samples, channels and a rate, not {audio.shape}, {rate}")
    scaled = audio * _FULL
    # Halves away from zero.
    rounded = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))
    sound = np.clip(rounded, -32768, 32767).astype("<i2").tobytes()
    if len(sound) > 0xFFFFFF00:
        raise _refuse("A WAV file holds at most 4 GiB")
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", len(sound) + 36, b"WAVE", b"fmt ", 16, 1, channels, rate,
        2 * channels * rate, 2 * channels, 16, b"data", len(sound),
    )  # fmt: skip
    result = np.empty((), object)
    result[()] = head + sound
    return result


# --- spectra --------------------------------------------------------------------------------------


@kernel("AudioSpectrogram")
def audio_spectrogram(
    xp: Any, input: Any, *, window_size: int, stride: int, magnitude_squared: bool
) -> Any:
    """Magnitudes of each channel by frame and frequency."""
    if input.ndim != 2:
        raise _refuse(f"input must be 2-dimensional, not {input.shape}")
    if window_size < 2 or stride < 1:
        raise _refuse("window_size must be 2 or more, and stride positive")
    length = 1 << (window_size - 1).bit_length()
    frames = max((input.shape[0] - window_size) // stride + 1, 0)
    result = xp.zeros((input.shape[1], frames, length // 2 + 1), xp.float32)
    if not result.size:
        return result
    window = 0.5 - 0.5 * xp.cos(2 * math.pi * xp.arange(window_size) / window_size)
    places = xp.arange(frames)[:, None] * stride + xp.arange(window_size)
    for channel in range(input.shape[1]):
        found = xp.fft.rfft(input[:, channel].astype(xp.float64)[places] * window, length)
        power = found.real**2 + found.imag**2
        result[channel] = power if magnitude_squared else xp.sqrt(power)
    return result


def _mel(frequency: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(frequency) / 700.0)


def _filters(length: int, rate: float, channels: int, lower: float, upper: float) -> Any:
    """How much of each frequency goes to each channel: triangles, even by mel, half overlapping."""
    low = _mel(lower)
    centers = low + (_mel(upper) - low) / (channels + 1) * np.arange(1, channels + 2)
    step = 0.5 * rate / (length - 1)
    first, last = int(1.5 + lower / step), min(int(upper / step), length - 1)
    filters = np.zeros((length, channels))
    for i in range(first, last + 1):
        mel = _mel(i * step)
        band = int(np.searchsorted(centers[:channels], mel)) - 1
        below = centers[band] if band >= 0 else low
        weight = (centers[band + 1] - mel) / (centers[band + 1] - below)
        if band >= 0:
            filters[i, band] += weight
        if band + 1 < channels:
            filters[i, band + 1] += 1 - weight
    return filters


@kernel("Mfcc", host=["sample_rate"])
def mfcc(
    xp: Any,
    spectrogram: Any,
    sample_rate: Any,
    *,
    upper_frequency_limit: float,
    lower_frequency_limit: float,
    filterbank_channel_count: int,
    dct_coefficient_count: int,
) -> Any:
    """Cepstral coefficients of squared magnitudes."""
    if spectrogram.ndim != 3 or sample_rate.size != 1:
        raise _refuse(f"spectrogram must be of rank 3, not {spectrogram.shape}, its rate a scalar")
    length, channels, rate = spectrogram.shape[2], filterbank_channel_count, int(sample_rate)
    if length < 2 or channels < 1 or rate < 1 or not 1 <= dct_coefficient_count <= channels:
        raise _refuse(
            f"Mfcc needs frequencies, a rate and more channels than coefficients: {length}, "
            f"{rate}, {channels}, {dct_coefficient_count}"
        )
    if not 0 <= lower_frequency_limit < upper_frequency_limit:
        raise _refuse("lower_frequency_limit must be nonnegative, and less than the upper one")
    filters = _filters(length, rate, channels, lower_frequency_limit, upper_frequency_limit)
    banks = xp.matmul(xp.sqrt(spectrogram.astype(xp.float64)), constant(xp, filters))
    logs = xp.log(xp.maximum(banks, _FLOOR))
    angles = (
        math.pi / channels * np.outer(np.arange(channels) + 0.5, np.arange(dct_coefficient_count))
    )
    cosines = math.sqrt(2.0 / channels) * np.cos(angles)
    return xp.matmul(logs, constant(xp, cosines)).astype(xp.float32)
