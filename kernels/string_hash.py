"""Kernels that put texts into buckets by their hashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.kernels.string_hash_functions import farm_fingerprint, murmur_hash, sip_hash


def _buckets(array: Any, num_buckets: int, hashes: Callable[[Any], Any]) -> Any:
    """The remainders of the hashes; texts of one length are hashed together."""
    flat = array.ravel().tolist()
    found = np.empty(len(flat), np.uint64)
    by_length: dict[int, list[int]] = {}
    for index, text in enumerate(flat):
        by_length.setdefault(len(text), []).append(index)
    for length, indices in by_length.items():
        joined = b"".join([flat[index] for index in indices])
        block = np.frombuffer(joined, np.uint8).reshape(len(indices), length)
        found[indices] = hashes(block)
    return (found % np.uint64(num_buckets)).astype(np.int64).reshape(array.shape)


@kernel("StringToHashBucket", device="CPU")
def string_to_hash_bucket(xp: Any, array: Any, *, num_buckets: int) -> Any:
    """By MurmurHash64A with TensorFlow's seed."""
    return _buckets(array, num_buckets, murmur_hash)


@kernel("StringToHashBucketFast", device="CPU")
def string_to_hash_bucket_fast(xp: Any, array: Any, *, num_buckets: int) -> Any:
    """By FarmHash's fingerprint."""
    return _buckets(array, num_buckets, farm_fingerprint)


@kernel("StringToHashBucketStrong", device="CPU")
def string_to_hash_bucket_strong(xp: Any, array: Any, *, num_buckets: int, key: list[int]) -> Any:
    """By SipHash under the key."""
    if len(key) != 2:
        raise InvalidArgumentError(None, None, "Key must have 2 elements")
    return _buckets(array, num_buckets, lambda block: sip_hash(block, key))
