"""Flags as programs read them before TensorFlow 1.5."""

import sys

import tensorflow as tf

tf.flags.DEFINE_integer("size", 3, "how large")
tf.flags.DEFINE_string("folder", "", "where")
FLAGS = tf.flags.FLAGS
print(FLAGS._parse_flags(), [(key, FLAGS.__flags[key].value) for key in ("folder", "size")])
print(FLAGS._parse_flags(["--size=5", "x"]), FLAGS.size, len(sys.argv))
