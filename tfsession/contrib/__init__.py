"""What programs use of `tf.contrib`, which ended with TensorFlow 1.15.

Behaviour, signatures and names of variables are 1.15's. Modules show their names by `@export`
(`"contrib.rnn.NASCell"`), and are loaded when a name under `tf.contrib` is asked for that is not
there yet. May import what is below sessions, ops, gradients and train.
"""
