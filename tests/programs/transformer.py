"""A small transformer: attention under a causal mask, training, and sampling by a while_loop.

Keys and values of the past go round in the loop with a growing shape; the best of the next tokens
are kept, and one is drawn by its probability.
"""

import numpy as np

WORDS, WIDTH, HEADS, LAYERS, LENGTH = 11, 16, 2, 2, 8


def _shape_of(tf, x):
    """Known sizes as numbers, others as tensors."""
    known, dynamic = x.shape.as_list(), tf.shape(x)
    return [dynamic[i] if size is None else size for i, size in enumerate(known)]


def _norm(tf, x, scope):
    with tf.variable_scope(scope):
        g = tf.get_variable("g", [WIDTH], initializer=tf.constant_initializer(1))
        b = tf.get_variable("b", [WIDTH], initializer=tf.constant_initializer(0))
        mean = tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(x - mean), axis=-1, keepdims=True)
        return (x - mean) * tf.rsqrt(variance + 1e-5) * g + b


def _conv1d(tf, x, scope, units):
    with tf.variable_scope(scope):
        *start, depth = _shape_of(tf, x)
        initializer = tf.random_normal_initializer(stddev=0.15)
        w = tf.get_variable("w", [1, depth, units], initializer=initializer)
        b = tf.get_variable("b", [units], initializer=tf.constant_initializer(0))
        flat = tf.matmul(tf.reshape(x, [-1, depth]), tf.reshape(w, [-1, units])) + b
        return tf.reshape(flat, [*start, units])


def _heads(tf, x):
    *start, depth = _shape_of(tf, x)
    return tf.transpose(tf.reshape(x, [*start, HEADS, depth // HEADS]), [0, 2, 1, 3])


def _attention(tf, x, scope, past):
    with tf.variable_scope(scope):
        parts = tf.split(_conv1d(tf, x, "c_attn", 3 * WIDTH), 3, axis=2)
        q, k, v = (_heads(tf, part) for part in parts)
        present = tf.stack([k, v], axis=1)
        if past is not None:
            past_k, past_v = tf.unstack(past, axis=1)
            k, v = tf.concat([past_k, k], axis=-2), tf.concat([past_v, v], axis=-2)
        w = tf.matmul(q, k, transpose_b=True) * tf.rsqrt(tf.cast(WIDTH // HEADS, tf.float32))
        rows, columns = _shape_of(tf, w)[-2:]
        mask = tf.range(rows)[:, None] >= tf.range(columns) - columns + rows
        mask = tf.cast(tf.reshape(mask, [1, 1, rows, columns]), w.dtype)
        mixed = tf.matmul(tf.nn.softmax(w * mask - 1e10 * (1 - mask)), v)
        mixed = tf.transpose(mixed, [0, 2, 1, 3])
        merged = tf.reshape(mixed, [*_shape_of(tf, mixed)[:-2], WIDTH])
        return _conv1d(tf, merged, "c_proj", WIDTH), present


def _gelu(tf, x):
    return 0.5 * x * (1 + tf.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * tf.pow(x, 3))))


def _model(tf, tokens, past=None, reuse=None):
    with tf.variable_scope("model", reuse=reuse):
        batch, length = _shape_of(tf, tokens)
        begin = 0 if past is None else tf.shape(past)[-2]
        wpe = tf.get_variable(
            "wpe", [2 * LENGTH, WIDTH], initializer=tf.random_normal_initializer(stddev=0.1)
        )
        wte = tf.get_variable(
            "wte", [WORDS, WIDTH], initializer=tf.random_normal_initializer(stddev=0.2)
        )
        positions = tf.tile(tf.expand_dims(begin + tf.range(length), 0), [batch, 1])
        h = tf.gather(wte, tokens) + tf.gather(wpe, positions)
        presents = []
        pasts = [None] * LAYERS if past is None else tf.unstack(past, axis=1)
        for layer, own in enumerate(pasts):
            with tf.variable_scope(f"h{layer}"):
                a, present = _attention(tf, _norm(tf, h, "ln_1"), "attn", own)
                h = h + a
                m = _gelu(tf, _conv1d(tf, _norm(tf, h, "ln_2"), "mlp_fc", 4 * WIDTH))
                h = h + _conv1d(tf, m, "mlp_proj", WIDTH)
                presents.append(present)
        flat = tf.reshape(_norm(tf, h, "ln_f"), [batch * length, WIDTH])
        logits = tf.reshape(tf.matmul(flat, wte, transpose_b=True), [batch, length, WORDS])
        return logits, tf.stack(presents, axis=1)


def _best(tf, logits, count):
    values, _ = tf.nn.top_k(logits, k=count)
    least = values[:, -1, tf.newaxis]
    return tf.where(logits < least, tf.ones_like(logits, dtype=logits.dtype) * -1e10, logits)


def _sample(tf, context, length):
    def step(tokens, past=None):
        return _model(tf, tokens, past, reuse=True)

    with tf.name_scope("sample_sequence"):
        _, past = step(context[:, :-1])

        def body(past, prev, output):
            logits, present = step(prev[:, tf.newaxis], past)
            drawn = tf.multinomial(
                _best(tf, logits[:, -1, :], 4), num_samples=1, output_dtype=tf.int32
            )
            return [
                tf.concat([past, present], axis=-2),
                tf.squeeze(drawn, axis=[1]),
                tf.concat([output, drawn], axis=1),
            ]

        _, _, tokens = tf.while_loop(
            cond=lambda *args: True,
            body=body,
            loop_vars=[past, context[:, -1], context],
            maximum_iterations=length,
            shape_invariants=[
                tf.TensorShape([2, LAYERS, 2, HEADS, None, WIDTH // HEADS]),
                tf.TensorShape([2]),
                tf.TensorShape([2, None]),
            ],
            back_prop=False,
        )
        return tokens


def program(tf):
    tf.set_random_seed(51)
    tokens = tf.placeholder(tf.int32, [4, LENGTH], name="tokens")
    logits, _ = _model(tf, tokens)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tokens[:, 1:], logits=logits[:, :-1]
    )
    loss = tf.reduce_mean(entropy)
    train = tf.train.AdamOptimizer(0.01, epsilon=1e-3).minimize(loss)
    context = tf.placeholder(tf.int32, [2, None], name="context")
    sampled = _sample(tf, context, 6)

    rng = np.random.default_rng(52)
    losses = []
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for _ in range(50):
            # Each row counts on from a random number.
            begin = rng.integers(0, WORDS, (4, 1))
            batch = (begin + np.arange(LENGTH)) % WORDS
            losses.append(session.run([loss, train], {tokens: batch})[0])
        drawn = session.run(sampled, {context: [[1, 2, 3], [7, 8, 9]]})
    return {"losses": losses, "drawn": drawn}
