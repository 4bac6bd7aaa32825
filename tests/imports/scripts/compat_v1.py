"""A program that was carried over to TensorFlow 2 by its first two lines."""

import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
tf.logging.set_verbosity(tf.logging.ERROR)

x = tf.placeholder(tf.float32, [None, 2], name="x")
y = tf.layers.dense(x, 1, kernel_initializer=tf.ones_initializer(), name="y")
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print(sess.run(y, {x: [[1.0, 2.0]]}).tolist(), [v.name for v in tf.trainable_variables()])
