"""Embeddings, gathers and scatters, segments, and products with sparse matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from works.row import Step, works

TABLE = (100_000, 64)


def vectors(sizes: tuple[int, int]) -> Any:
    """A table of vectors."""
    return np.random.default_rng(0).normal(0, 0.1, sizes).astype(np.float32)


def _ids(most: int, count: int) -> Any:
    """Indices as words are distributed: few of them often."""
    found = np.random.default_rng(1).zipf(1.3, count * 4)
    return found[found <= most][:count].astype(np.int32) - 1


def vocabulary(sizes: tuple[int, int], words: int) -> tuple[Any, ...]:
    """A table, weights of a layer on it, words and a label for each."""
    rng = np.random.default_rng(2)
    weights = rng.normal(0, 0.1, (sizes[1], 1)).astype(np.float32)
    target = rng.integers(0, 2, words).astype(np.float32)
    return vectors(sizes), weights, _ids(sizes[0], words), target


OPTIMIZERS = {
    f"embedding, {name} step of 1,024 words": (name, TABLE, 1024)
    for name in ("GradientDescent", "Adagrad", "Adam", "Momentum")
}


@works(
    OPTIMIZERS,
    small={name: (sizes[0], (50, 4), 12) for name, sizes in OPTIMIZERS.items()},
)
def embedding(tf: Any, optimizer: str, sizes: tuple[int, int], words: int) -> Step:
    """A table of vectors looked up, and trained by gradients that are IndexedSlices."""
    table, weights, given, target = vocabulary(sizes, words)
    rates = (0.9,) if optimizer == "Momentum" else ()
    with tf.Graph().as_default() as graph:
        ids, labels = tf.placeholder(tf.int32, [None]), tf.placeholder(tf.float32, [None])
        looked = tf.nn.embedding_lookup(tf.Variable(table), ids)
        logits = tf.matmul(looked, tf.Variable(weights))[:, 0]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        loss = tf.reduce_mean(losses)
        train = getattr(tf.train, f"{optimizer}Optimizer")(0.01, *rates).minimize(loss)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    call = session.make_callable([train, loss], [ids, labels])
    return lambda: call(given, target)[1]


@works({"word2vec step, NCE, 64 samples": (TABLE, 128, 64)}, small={"word2vec": ((50, 4), 8, 5)})
def word2vec(tf: Any, sizes: tuple[int, int], batch: int, samples: int) -> Step:
    """Noise-contrastive estimation with given samples: two tables, a step of descent."""
    given = np.random.default_rng(3)
    with tf.Graph().as_default() as graph:
        inputs, labels = tf.placeholder(tf.int32, [batch]), tf.placeholder(tf.int64, [batch, 1])
        table, weights = tf.Variable(vectors(sizes)), tf.Variable(vectors(sizes))
        noise = tf.constant(given.permutation(sizes[0])[:samples].astype(np.int64))
        counts = tf.fill([samples], 0.01), tf.fill([batch, 1], 0.01)
        loss = tf.reduce_mean(
            tf.nn.nce_loss(
                weights,
                tf.Variable(tf.zeros(sizes[:1])),
                labels,
                tf.nn.embedding_lookup(table, inputs),
                samples,
                sizes[0],
                sampled_values=(noise, counts[1], counts[0]),
            )
        )
        train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    call = session.make_callable([train, loss], [inputs, labels])
    words = _ids(sizes[0], 2 * batch)
    return lambda: call(words[:batch], words[batch:, None].astype(np.int64))[1]


@works({"gather of 100,000 rows of 64": (TABLE, 100_000)}, small={"gather": ((50, 4), 60)})
def gather(tf: Any, sizes: tuple[int, int], count: int) -> Step:
    """Rows picked from a fed table, some numbers of them fetched."""
    with tf.Graph().as_default() as graph:
        x, ids = tf.placeholder(tf.float32, sizes), tf.placeholder(tf.int32, [None])
        session = tf.Session(graph=graph)
        call = session.make_callable(tf.gather(x, ids)[:: count // 20], [x, ids])
    table, given = vectors(sizes), indices(sizes[0], count)
    return lambda: call(table, given)


def indices(most: int, count: int) -> Any:
    """Indices that are equally probable."""
    return np.random.default_rng(1).integers(0, most, count).astype(np.int32)


def updates(name: str, sizes: tuple[int, int], count: int) -> tuple[Any, Any]:
    """Indices and rows to be scattered to them."""
    rng = np.random.default_rng(1)
    given = rng.permutation(sizes[0])[:count].astype(np.int32)
    if name != "scatter_update":  # there it is not said which of equal indices wins
        given = indices(sizes[0], count)
    return given, rng.normal(0, 1e-3, (count, sizes[1])).astype(np.float32)


SCATTERS = {
    f"{name} of 20,000 rows of 64": (name, TABLE, 20_000)
    for name in ("scatter_add", "scatter_update", "scatter_nd", "unsorted_segment_sum")
}


@works(SCATTERS, small={name: (sizes[0], (50, 4), 30) for name, sizes in SCATTERS.items()})
def scatter(tf: Any, name: str, sizes: tuple[int, int], count: int) -> Step:
    """Rows added to or put into a table by indices, a few of them fetched."""
    given, rows = updates(name, sizes, count)
    with tf.Graph().as_default() as graph:
        ids, values = tf.placeholder(tf.int32, [None]), tf.placeholder(tf.float32, rows.shape)
        if name == "scatter_nd":
            made = tf.scatter_nd(ids[:, None], values, sizes)
        elif name == "unsorted_segment_sum":
            made = tf.math.unsorted_segment_sum(values, ids, sizes[0])
        else:
            table = tf.Variable(vectors(sizes), use_resource=False)
            made = getattr(tf, name)(table, ids, values)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
        call = session.make_callable(made[: sizes[0] // 5 : sizes[0] // 50], [ids, values])
    return lambda: call(given, rows)


def adjacency(nodes: int, edges: int) -> tuple[Any, Any]:
    """Indices in order, and values, of a matrix of so many edges, its diagonal filled."""
    rng = np.random.default_rng(0)
    ends = rng.integers(0, nodes, (edges, 2))
    pairs = np.concatenate([ends, ends[:, ::-1], np.repeat(np.arange(nodes)[:, None], 2, 1)])
    indices = np.unique(pairs, axis=0).astype(np.int64)
    return indices, rng.uniform(0.1, 0.5, len(indices)).astype(np.float32)


# Nodes and edges are those of the citation graphs that people try such networks on.
PRODUCTS = {
    "sparse matmul, as Cora, 16 columns": (2708, 5278, 16),
    "sparse matmul, as Pubmed, 16 columns": (19717, 44324, 16),
    "sparse matmul, as Pubmed, 500 columns": (19717, 44324, 500),
}


@works(PRODUCTS, small={"sparse matmul": (20, 30, 3)})
def product(tf: Any, nodes: int, edges: int, columns: int) -> Step:
    """A sparse matrix times a dense one, fetched whole."""
    pairs, values = adjacency(nodes, edges)
    dense = np.random.default_rng(1).normal(0, 1, (nodes, columns)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, columns])
        matrix = tf.SparseTensor(pairs, values, (nodes, nodes))
        session = tf.Session(graph=graph)
        call = session.make_callable(tf.sparse_tensor_dense_matmul(matrix, x), [x])
    return lambda: call(dense)


def papers(nodes: int, features: int, units: int, classes: int) -> tuple[Any, ...]:
    """Features of nodes, 1.25 % of them and sparse; two matrices, and a class for each node."""
    rng = np.random.default_rng(2)
    words = np.unique(rng.integers(0, (nodes, features), (nodes * features // 80, 2)), axis=0)
    counts = np.full(len(words), 0.05, np.float32)
    matrices = [
        rng.normal(0, 0.1, s).astype(np.float32) for s in ((features, units), (units, classes))
    ]
    return words, counts, matrices, rng.integers(0, classes, nodes).astype(np.int32)


# Nodes, edges, features, hidden units, classes.
GRAPHS = {
    "graph convolutions, as Cora, Adam step": (2708, 5278, 1433, 16, 7),
    "graph convolutions, as Pubmed, Adam step": (19717, 44324, 500, 16, 3),
}


@works(GRAPHS, small={"graph convolutions": (20, 30, 9, 4, 3)})
def graph_convolutions(
    tf: Any, nodes: int, edges: int, features: int, units: int, classes: int
) -> Step:
    """Two layers of graph convolution with sparse features and a sparse adjacency, trained."""
    pairs, values = adjacency(nodes, edges)
    words, counts, matrices, target = papers(nodes, features, units, classes)
    with tf.Graph().as_default() as graph:
        matrix = tf.SparseTensor(pairs, values, (nodes, nodes))
        given = tf.sparse_placeholder(tf.float32, (nodes, features))
        first, second = (tf.Variable(array) for array in matrices)
        hidden = tf.sparse_tensor_dense_matmul(given, first)
        hidden = tf.nn.relu(tf.sparse_tensor_dense_matmul(matrix, hidden))
        logits = tf.sparse_tensor_dense_matmul(matrix, tf.matmul(hidden, second))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=target, logits=logits)
        loss = tf.reduce_mean(losses)
        train = tf.train.AdamOptimizer(0.01).minimize(loss)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    feeds = {given: tf.SparseTensorValue(words, counts, (nodes, features))}
    return lambda: session.run([train, loss], feeds)[1]
