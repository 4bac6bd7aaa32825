"""Buckets of texts, bit by bit TensorFlow's."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, row_cases, strings

MOST = 2**63 - 1
_RNG = np.random.default_rng(5)
# Each length for which the hashes have a way of their own, and those around it.
LENGTHS = (*range(36), *range(60, 70), 127, 128, 129, 192, 255, 256, 257, 1000)
TEXTS = strings(*(_RNG.integers(0, 256, n).astype(np.uint8).tobytes() for n in LENGTHS))
KEYS = ([0, 0], [0x0706050403020100, 0x0F0E0D0C0B0A0908], [-1, 2**63 - 1])

ROWS = [
    Row("StringToHashBucket", "string_to_hash_bucket", [TEXTS], kwargs={"num_buckets": MOST}),
    Row("StringToHashBucket", "strings.to_hash_bucket", [TEXTS], kwargs={"num_buckets": 7},
        label="7"),
    Row("StringToHashBucketFast", "string_to_hash_bucket_fast", [TEXTS],
        kwargs={"num_buckets": MOST}),
    Row("StringToHashBucketFast", "strings.to_hash_bucket_fast",
        [strings(b"Hello", b"TensorFlow", b"2.x", b"", shape=[2, 2])], kwargs={"num_buckets": 3},
        label="matrix", reference=lambda x, **_: np.array([[0, 2], [2, 2]])),
    *(Row("StringToHashBucketStrong", "strings.to_hash_bucket_strong", [TEXTS],
          kwargs={"num_buckets": MOST, "key": key}, label=str(key[0])) for key in KEYS),
    Row("StringToHashBucketStrong", "string_to_hash_bucket_strong", [strings()],
        kwargs={"num_buckets": 3, "key": [1, 2]}, label="none"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_the_published_vectors_of_siphash(fresh_graph):
    """The first and the last of the paper's example, under the key of its appendix."""
    texts = [bytes(range(n)) for n in (0, 15)]
    buckets = tf.strings.to_hash_bucket_strong(texts, MOST, KEYS[1])
    expected = [0x726FDB47DD0E0E31, 0xA129CA6149BE45E5]
    with tf.Session() as session:
        assert session.run(buckets).tolist() == [number % MOST for number in expected]


def test_a_text_alone_falls_where_it_falls_among_others(fresh_graph):
    x = tf.placeholder(tf.string, None)
    buckets = tf.strings.to_hash_bucket_fast(x, MOST)
    texts = TEXTS.array(None, "string")
    with tf.Session() as session:
        together = session.run(buckets, {x: texts})
        assert [session.run(buckets, {x: text}) for text in texts] == together.tolist()


def test_failures(fresh_graph):
    for op in (tf.string_to_hash_bucket, tf.string_to_hash_bucket_fast):
        with pytest.raises(ValueError, match="num_buckets"):
            op(["a"], 0)
    bad = tf.strings.to_hash_bucket_strong(["a"], 3, [1])
    wrong = pytest.raises(tf.errors.InvalidArgumentError, match="Key must have 2 elements")
    with tf.Session() as session, wrong:
        session.run(bad)
