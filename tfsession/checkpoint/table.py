"""Sorted string tables: keys in order, each with a value, in blocks with checksums.

A block holds entries (bytes shared with the key before, bytes of its own, bytes of the value, as
varints; the key's own bytes; the value), then the offsets of the entries whose key is whole
(uint32), and their number (uint32). Behind a block stand its kind (0 raw, 1 Snappy) and its masked
CRC-32C (uint32). After the data blocks come an empty block of metadata and the block of the index:
for each data block a key that is not before its last one, and its offset and size. The file ends
with 48 bytes: where those two blocks lie, zeros, and the magic number. All little-endian.

Source of the format: LevelDB's table format; `shared` keys restart every 16 entries.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from tfsession.checkpoint import snappy, varint
from tfsession.core.crc32c import masked_crc32c
from tfsession.core.errors import DataLossError

_MAGIC: Final = 0xDB4775248B80FB57
_FOOTER_SIZE: Final = 48
_TRAILER: Final = struct.Struct("<BI")
_UINT32: Final = struct.Struct("<I")
_RAW, _SNAPPY = 0, 1
_BLOCK_SIZE: Final = 256 * 1024
_RESTART_INTERVAL: Final = 16
# Shared beginnings let a small file claim keys without end: those of real files stay far below.
_MOST_KEY_BYTES_PER_BYTE: Final = 64
_KEY_BYTES_FREE: Final = 1 << 20


class _Block:
    """Entries of one block while it is written."""

    def __init__(self, restart_interval: int) -> None:
        self._interval = restart_interval
        self._data = bytearray()
        self._restarts = [0]
        self._since_restart = 0
        self.last_key = b""

    @property
    def size(self) -> int:
        return len(self._data) + 4 * len(self._restarts) + 4

    @property
    def is_empty(self) -> bool:
        return not self._data

    def add(self, key: bytes, value: bytes) -> None:
        shared = 0
        if self._since_restart < self._interval:
            shared = _shared(self.last_key, key)
        else:
            self._restarts.append(len(self._data))
            self._since_restart = 0
        for number in (shared, len(key) - shared, len(value)):
            self._data += varint.encode(number)
        self._data += key[shared:] + value
        self.last_key = key
        self._since_restart += 1

    def finished(self) -> bytes:
        """The block with its trailer."""
        numbers = [*self._restarts, len(self._restarts)]
        content = bytes(self._data) + struct.pack(f"<{len(numbers)}I", *numbers) + bytes([_RAW])
        return content + _UINT32.pack(masked_crc32c(content))


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    least = min(len(one), len(other))
    if one[:least] == other[:least]:
        return least
    return next(i for i in range(least) if one[i] != other[i])


def _between(last: bytes, following: bytes) -> bytes:
    """A short key that is not before `last` and comes before `following`."""
    shared = _shared(last, following)
    if shared < min(len(last), len(following)):
        byte = last[shared]
        if byte < 0xFF and byte + 1 < following[shared]:
            return last[:shared] + bytes([byte + 1])
    return last


def _behind(last: bytes) -> bytes:
    """A short key that is not before `last`."""
    for place, byte in enumerate(last):
        if byte != 0xFF:
            return last[:place] + bytes([byte + 1])
    return last


def encode_table(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The file of a table; the keys come in ascending order.

    Raises:
        ValueError: they do not.
    """
    file = bytearray()
    index, block = _Block(1), _Block(_RESTART_INTERVAL)
    # The key of a block in the index depends on the first key of the next one.
    waiting: tuple[bytes, bytes] | None = None
    previous: bytes | None = None

    def append(finished: bytes) -> bytes:
        handle = varint.encode(len(file)) + varint.encode(len(finished) - _TRAILER.size)
        file.extend(finished)
        return handle

    for key, value in entries:
        if previous is not None and key <= previous:
            raise ValueError(f"keys of a table must ascend: {key!r} comes after {previous!r}")
        if waiting is not None:
            index.add(_between(waiting[0], key), waiting[1])
            waiting = None
        block.add(key, value)
        previous = key
        if block.size >= _BLOCK_SIZE:
            waiting = key, append(block.finished())
            block = _Block(_RESTART_INTERVAL)
    if not block.is_empty:
        waiting = block.last_key, append(block.finished())
    metadata = append(_Block(_RESTART_INTERVAL).finished())
    if waiting is not None:
        index.add(_behind(waiting[0]), waiting[1])
    handles = metadata + append(index.finished())
    footer = handles.ljust(_FOOTER_SIZE - 8, b"\0") + struct.pack("<Q", _MAGIC)
    return bytes(file) + footer


def decode_table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table's file, in its order.

    Raises:
        DataLossError: the file is damaged, or is no table.
    """
    budget = _Budget(_MOST_KEY_BYTES_PER_BYTE * len(data) + _KEY_BYTES_FREE)
    end = 0
    for _, handle in _entries(_index_of(data), budget):
        (offset, size), _ = _handle(handle, 0, len(handle))
        if offset < end:
            raise DataLossError(None, None, "bad block handle: blocks overlap")
        end = offset + size
        yield from _entries(_block_at(data, offset, size), budget)


class _Budget:
    """How many bytes of keys may still come out of a file."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise DataLossError(None, None, "bad entry in block: its keys grow without end")


def _index_of(data: bytes) -> bytes:
    if len(data) < _FOOTER_SIZE:
        raise DataLossError(None, None, "file is too short to be an sstable")
    footer = data[-_FOOTER_SIZE:]
    if struct.unpack_from("<Q", footer, 40)[0] != _MAGIC:
        raise DataLossError(None, None, "not an sstable (bad magic number)")
    metadata, position = _handle(footer, 0, 40)
    index, _ = _handle(footer, position, 40)
    # No checksum covers these bytes, so nothing may be there that no writer puts there.
    numbers = b"".join(map(varint.encode, (*metadata, *index)))
    if footer[:40] != numbers.ljust(40, b"\0"):
        raise DataLossError(None, None, "bad footer of an sstable")
    _block_at(data, *metadata)
    return _block_at(data, *index)


def _handle(data: bytes, position: int, end: int) -> tuple[tuple[int, int], int]:
    offset, position = varint.decode(data, position, end)
    size, position = varint.decode(data, position, end)
    return (offset, size), position


def _block_at(data: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + _TRAILER.size > len(data):
        raise DataLossError(None, None, "truncated block read")
    kind, stored = _TRAILER.unpack_from(data, end)
    if masked_crc32c(data[offset : end + 1]) != stored:
        raise DataLossError(None, None, "block checksum mismatch")
    content = data[offset:end]
    if kind == _SNAPPY:
        return snappy.decompress(content)
    if kind != _RAW:
        raise DataLossError(None, None, "bad block type")
    return content


def _entries(block: bytes, budget: _Budget) -> Iterator[tuple[bytes, bytes]]:
    if len(block) < 4:
        raise DataLossError(None, None, "bad block contents")
    end = len(block) - 4 * (_UINT32.unpack_from(block, len(block) - 4)[0] + 1)
    if end < 0:
        raise DataLossError(None, None, "bad block contents")
    position, key = 0, b""
    while position < end:
        shared, position = varint.decode(block, position, end)
        own, position = varint.decode(block, position, end)
        length, position = varint.decode(block, position, end)
        start = position + own
        if shared > len(key) or start + length > end:
            raise DataLossError(None, None, "bad entry in block")
        budget.spend(shared + own + 1)
        key = key[:shared] + block[position:start]
        position = start + length
        yield key, block[start:position]
