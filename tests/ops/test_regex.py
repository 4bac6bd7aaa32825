"""Texts held against patterns."""

import pytest

import tfsession as tf
from tfsession.graph.create import create_op

COVERED = ("StaticRegexFullMatch",)


def test_whole_texts_fit_a_pattern(fresh_graph):
    texts = tf.constant([[b"s3://bucket"], [b"a s3://b"]])
    found = create_op("StaticRegexFullMatch", [texts], {"pattern": "^s3://.*"})
    bad = create_op("StaticRegexFullMatch", [texts], {"pattern": "("})
    with tf.Session() as session:
        assert session.run(found).tolist() == [[True], [False]]
        with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid pattern"):
            session.run(bad)
