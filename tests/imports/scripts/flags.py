"""Flags, argv and tf.app.run, as TF1's programs have them."""

from __future__ import absolute_import, division, print_function

import sys

import neighbour
import tensorflow as tf

flags = tf.app.flags
FLAGS = flags.FLAGS
flags.DEFINE_integer("steps", 1, "how many steps")
flags.DEFINE_float("rate", 0.5, "how far")
tf.flags.DEFINE_boolean("quiet", False, "say nothing")


def main(argv):
    w = tf.Variable(4.0)
    step = tf.train.GradientDescentOptimizer(FLAGS.rate).minimize(tf.square(w))
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        for _ in range(FLAGS.steps):
            sess.run(step)
        if not FLAGS.quiet:
            print(neighbour.NAME, sys.argv[1:], argv[1:], sess.run(w))


if __name__ == "__main__":
    tf.app.run()
