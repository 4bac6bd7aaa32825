"""K-means by segment sums, with the clusters held in a variable that each step assigns."""

import numpy as np

CLUSTERS = 4


def _points():
    rng = np.random.default_rng(8)
    centers = np.array([[0, 0], [5, 1], [1, 6], [7, 7]], np.float64)
    return centers[np.arange(80) % CLUSTERS] + rng.normal(0, 0.7, (80, 2))


def program(tf):
    points = tf.constant(_points())
    first = tf.random_shuffle(tf.range(80), seed=3)[:CLUSTERS]
    centers = tf.Variable(tf.gather(points, first), name="centers")
    apart = tf.expand_dims(points, 0) - tf.expand_dims(centers, 1)
    distances = tf.reduce_sum(tf.square(apart), 2)
    nearest = tf.argmin(distances, 0)
    loss = tf.reduce_mean(tf.reduce_min(distances, 0))
    counts = tf.unsorted_segment_sum(tf.ones_like(points), nearest, CLUSTERS)
    sums = tf.unsorted_segment_sum(points, nearest, CLUSTERS)
    moved = tf.where(counts > 0, sums / tf.maximum(counts, 1.0), centers)
    with tf.control_dependencies([loss]):
        update = tf.assign(centers, moved)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        course = [session.run([loss, update])[0] for _ in range(8)]
        found = session.run([centers, nearest, counts])
    return {"losses": course, "found": found}
