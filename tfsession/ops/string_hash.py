"""Numbers of buckets for texts: the same as TensorFlow's, on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.graph.create import create_op
from tfsession.graph.shape_fns import same_as
from tfsession.graph.tensor import Tensor
from tfsession.ops.shape import renamed

for _name, _input, _attrs in (
    ("StringToHashBucket", "string_tensor", []),
    ("StringToHashBucketFast", "input", []),
    ("StringToHashBucketStrong", "input", ["key: list(int)"]),
):
    define_op(
        _name,
        inputs=[f"{_input}: string"],
        outputs=["output: int64"],
        attrs=["num_buckets: int >= 1", *_attrs],
        shape=same_as(0),
    )


@export("string_to_hash_bucket", "strings.to_hash_bucket")
def string_to_hash_bucket(
    string_tensor: Any = None,
    num_buckets: int | None = None,
    name: str | None = None,
    input: Any = None,
) -> Tensor:
    """A bucket for each text, by a hash that `string_to_hash_bucket_fast` has replaced.

    Args:
        string_tensor: a string tensor.
        num_buckets: how many buckets there are.
        name: name of the operation.
        input: another name of `string_tensor`.

    Returns:
        An int64 tensor of numbers from 0 to `num_buckets - 1`.
    """
    texts = renamed("string_tensor", string_tensor, "input", input)
    result: Tensor = create_op("StringToHashBucket", [texts], {"num_buckets": num_buckets}, name)
    return result


@export("string_to_hash_bucket_fast", "strings.to_hash_bucket_fast")
def string_to_hash_bucket_fast(input: Any, num_buckets: int, name: str | None = None) -> Tensor:
    """A bucket for each text, int64, by FarmHash's 64-bit fingerprint of it.

    Whoever knows the hash can find texts that fall into one bucket: `string_to_hash_bucket_strong`
    stands against that.
    """
    result: Tensor = create_op(
        "StringToHashBucketFast", [input], {"num_buckets": num_buckets}, name
    )
    return result


@export("string_to_hash_bucket_strong", "strings.to_hash_bucket_strong")
def string_to_hash_bucket_strong(
    input: Any, num_buckets: int, key: Sequence[int], name: str | None = None
) -> Tensor:
    """A bucket for each text, int64, by SipHash-2-4 of it under a key of two numbers."""
    attrs = {"num_buckets": num_buckets, "key": list(key)}
    result: Tensor = create_op("StringToHashBucketStrong", [input], attrs, name)
    return result
