"""Networks as their exporters freeze them, small: each builds inputs and outputs with a TensorFlow.

Raw operations, because what files hold are old versions of them; weights are seeded.
"""

import numpy as np


class Net:
    """Layers on one default graph of `tf`, by operations of the time."""

    def __init__(self, tf):
        self.tf, self.raw = tf, tf.raw_ops
        self._random = np.random.default_rng(7)

    def weights(self, *shape, positive=False):
        values = self._random.normal(size=shape) / max(np.sqrt(np.prod(shape[:-1])), 1)
        return self.tf.Variable(np.abs(values) + 0.5 if positive else values, dtype="float32")

    def image(self, *shape, name="image"):
        return self.tf.placeholder(self.tf.float32, shape, name)

    def conv(self, x, size, filters, stride=1, padding="SAME", rate=1):
        kernel = self.weights(size, size, int(x.shape[3]), filters)
        return self.tf.nn.conv2d(
            x, kernel, [1, stride, stride, 1], padding, dilations=[1, rate, rate, 1]
        )

    def depthwise(self, x, stride=1):
        kernel = self.weights(3, 3, int(x.shape[3]), 1)
        return self.raw.DepthwiseConv2dNative(
            input=x, filter=kernel, strides=[1, stride, stride, 1], padding="SAME"
        )

    def norm(self, x, version=""):
        depth = int(x.shape[3])
        op = getattr(self.raw, f"FusedBatchNorm{version}")
        return op(
            x=x, scale=self.weights(depth, positive=True), offset=self.weights(depth),
            mean=self.weights(depth), variance=self.weights(depth, positive=True),
            epsilon=0.001, is_training=False,
        )[0]  # fmt: skip

    def dense(self, x, units):
        return self.tf.nn.bias_add(
            self.tf.matmul(x, self.weights(int(x.shape[-1]), units)), self.weights(units)
        )


def inception(tf):
    """A block of branches, joined by the old Concat; neighbours normalized; numbers checked."""
    net = Net(tf)
    x = net.image(None, 15, 15, 3)
    h = tf.nn.lrn(tf.nn.relu(net.conv(x / 128.0 - 1.0, 3, 8, 2, "VALID")), 4, 1.0, 1e-4, 0.75)
    h = tf.nn.max_pool(h, [1, 3, 3, 1], [1, 2, 2, 1], "SAME")
    branches = [
        tf.nn.relu6(net.norm(net.conv(h, 1, 4))),
        tf.nn.elu(net.conv(tf.nn.relu(net.conv(h, 1, 3)), 5, 4)),
        net.conv(tf.nn.avg_pool(h, [1, 3, 3, 1], [1, 1, 1, 1], "SAME"), 1, 4),
    ]
    joined = net.raw.Concat(concat_dim=3, values=branches)
    joined = tf.check_numerics(joined, "block")
    pooled = tf.squeeze(tf.nn.avg_pool(joined, [1, 4, 4, 1], [1, 4, 4, 1], "VALID"), [1, 2])
    keep = tf.placeholder_with_default(1.0, [], name="keep")
    return [tf.nn.softmax(net.dense(pooled * keep, 5)), joined], {"image": (2, 15, 15, 3)}


def mobile(tf):
    """Depthwise convolutions, batch norms of each version, inverted residuals, swish."""
    net = Net(tf)
    x = net.image(None, 16, 16, 3)
    h = tf.nn.relu6(net.norm(net.conv(x, 3, 8, 2)))
    for version, stride in (("", 1), ("V2", 2), ("V3", 1)):
        wide = tf.nn.relu6(net.norm(net.conv(h, 1, 16), version))
        deep = tf.nn.relu6(net.norm(net.depthwise(wide, stride), version))
        thin = net.norm(net.conv(deep, 1, 8), version)
        h = h + thin if stride == 1 else thin
    squeezed = tf.reduce_mean(h, [1, 2], keepdims=True)
    h = h * tf.nn.sigmoid(net.conv(tf.nn.swish(squeezed), 1, 8))
    h = tf.nn.leaky_relu(h, 0.1) + tf.nn.relu6(h + 3.0) * h / 6.0
    return [tf.reshape(tf.nn.softmax(net.conv(h, 1, 4)), [-1, 4])], {"image": (2, 16, 16, 3)}


def detector(tf):
    """Boxes decoded in a loop over the images, cut down by each version of suppression."""
    net = Net(tf)
    x = net.image(None, None, None, 3)

    def resized(image):
        return tf.squeeze(tf.image.resize_bilinear(image[None], [16, 16], align_corners=True), [0])

    images = tf.map_fn(resized, x)
    features = tf.nn.relu(net.conv(images, 3, 8, 2))
    count = tf.shape(images)[0]
    codes = tf.reshape(net.conv(features, 1, 8), tf.stack([count, 128, 4]))
    scores = tf.nn.sigmoid(tf.reshape(net.conv(features, 1, 2), tf.stack([count, -1])))
    y, x0 = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
    centers = np.repeat(np.stack([y, x0], -1).reshape(-1, 2) / 8.0, 2, 0).astype(np.float32)
    ty, tx, th, tw = tf.unstack(codes, axis=2)
    ends = [ty + centers[:, 0] - tf.exp(th) / 8, tx + centers[:, 1] - tf.exp(tw) / 8,
            ty + centers[:, 0] + tf.exp(th) / 8, tx + centers[:, 1] + tf.exp(tw) / 8]  # fmt: skip
    boxes = tf.clip_by_value(tf.stack(ends, 2), 0.0, 1.0)

    def kept(given):
        some, values = given
        chosen = tf.image.non_max_suppression(some, values, 6, 0.4, 0.3)
        lack = 6 - tf.shape(chosen)[0]
        return (
            tf.pad(tf.gather(some, chosen), [[0, lack], [0, 0]]),
            tf.pad(tf.gather(values, chosen), [[0, lack]]),
            tf.shape(chosen)[0],
        )

    found = tf.map_fn(kept, (boxes, scores), dtype=(tf.float32, tf.float32, tf.int32))
    first, values = boxes[0], scores[0]
    given = {"boxes": first, "scores": values, "max_output_size": 5}
    others = [
        net.raw.NonMaxSuppression(**given),
        net.raw.NonMaxSuppressionV2(**given, iou_threshold=0.4),
        *net.raw.NonMaxSuppressionV4(
            **given, iou_threshold=0.4, score_threshold=0.5, pad_to_max_output_size=True
        ),
        *net.raw.NonMaxSuppressionV5(
            **given, iou_threshold=0.4, score_threshold=0.3, soft_nms_sigma=0.5
        ),
        *tf.nn.top_k(values, 4),
        net.raw.CropAndResize(image=images, boxes=first[:3], box_ind=[0, 0, 1], crop_size=[3, 3]),
    ]
    return [*found, *others], {"image": (2, 20, 14, 3)}


def recognizer(tf):
    """A bidirectional recurrent network of while frames and stacks, and a greedy decoder."""
    net = Net(tf)
    x = net.image(None, 8, 12, 1)
    lengths = tf.placeholder(tf.int32, [None], "lengths")
    h = tf.nn.relu(net.conv(x, 3, 6))
    columns = tf.reshape(tf.transpose(h, [2, 0, 1, 3]), [12, -1, 48])

    def direction(inputs):
        size, kernel, bias = 5, net.weights(48 + 5, 20), net.weights(20)
        steps = tf.TensorArray(tf.float32, 12).unstack(inputs)
        outputs = tf.TensorArray(tf.float32, 12)
        nothing = tf.zeros(tf.stack([tf.shape(inputs)[1], size]))
        nothing.set_shape([None, size])

        def turn(t, c, h, outputs):
            gates = tf.matmul(tf.concat([steps.read(t), h], 1), kernel) + bias
            i, j, f, o = tf.split(gates, 4, 1)
            new = c * tf.sigmoid(f + 1.0) + tf.sigmoid(i) * tf.tanh(j)
            shown = tf.sigmoid(o) * tf.tanh(new)
            goes_on = t < lengths
            c, h = tf.where(goes_on, new, c), tf.where(goes_on, shown, h)
            return t + 1, c, h, outputs.write(t, tf.where(goes_on, shown, nothing))

        start = (0, nothing, nothing, outputs)
        return tf.while_loop(lambda t, *_: t < 12, turn, start)[3].stack()

    forward = direction(columns)
    reversed_ = tf.reverse_sequence(columns, lengths, seq_axis=0, batch_axis=1)
    backward = tf.reverse_sequence(direction(reversed_), lengths, seq_axis=0, batch_axis=1)
    both = tf.reshape(tf.concat([forward, backward], 2), [-1, 10])
    logits = tf.reshape(net.dense(both, 4), [12, -1, 4])
    decoded, scores = tf.nn.ctc_greedy_decoder(logits, lengths)
    text = tf.sparse_to_dense(
        decoded[0].indices, decoded[0].dense_shape, decoded[0].values, default_value=-1
    )
    shapes = {"image": (3, 8, 12, 1), "lengths": np.array([12, 7, 1], np.int32)}
    return [tf.nn.log_softmax(logits), text, scores], shapes


def segmenter(tf):
    """Holes in filters by moved blocks, images made larger in each way, the greatest class."""
    net = Net(tf)
    x = net.image(1, None, None, 3)
    h = tf.nn.relu(net.norm(net.conv(x, 3, 6, 2), "V3"))
    sides = tf.shape(h)[1:3]
    more = tf.mod(-sides, 2)
    moved = tf.space_to_batch_nd(h, [2, 2], tf.stack([[0, more[0]], [0, more[1]]]))
    moved = net.depthwise(moved)
    back = tf.batch_to_space_nd(moved, [2, 2], tf.stack([[0, more[0]], [0, more[1]]]))
    whole = tf.reduce_mean(h, [1, 2], keepdims=True)
    pooled = tf.image.resize_bilinear(net.conv(whole, 1, 4), sides, align_corners=True)
    joined = tf.concat([net.conv(back, 1, 4), net.conv(h, 3, 4, rate=2), pooled], 3)
    sizes = tf.shape(x)[1:3]
    logits = [
        tf.image.resize_bilinear(joined, sizes, align_corners=True),
        tf.image.resize_bilinear(joined, sizes, half_pixel_centers=True),
        tf.image.resize_nearest_neighbor(joined, sizes),
        tf.image.resize_bicubic(joined, sizes),
        tf.depth_to_space(tf.space_to_depth(joined[:, :4, :4], 2), 2),
    ]
    up = tf.nn.conv2d_transpose(
        joined, net.weights(3, 3, 5, 12), tf.concat([[1], sides * 2, [5]], 0), [1, 2, 2, 1]
    )
    patches = net.raw.ExtractImagePatches(
        images=joined, ksizes=[1, 2, 2, 1], strides=[1, 2, 2, 1], rates=[1, 1, 1, 1],
        padding="VALID",
    )  # fmt: skip
    edges = tf.pad(joined, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")
    pooled, places = tf.nn.max_pool_with_argmax(edges, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
    return [tf.argmax(logits[0], 3), *logits, up, patches, pooled, places], {
        "image": (1, 13, 10, 3)
    }


def transformer(tf):
    """Attention over words, with masks, as a language model has it when it is frozen."""
    net = Net(tf)
    ids = tf.placeholder(tf.int32, [None, None], "ids")
    mask = tf.cast(tf.not_equal(ids, 0), tf.float32)
    batch, length = tf.unstack(tf.shape(ids))
    h = tf.gather(net.weights(20, 8), ids) + tf.slice(net.weights(16, 8), [0, 0], [length, -1])
    kinds = tf.one_hot(tf.reshape(tf.ones_like(ids), [-1]), 2)
    h += tf.reshape(tf.matmul(kinds, net.weights(2, 8)), tf.stack([batch, length, 8]))

    def layer_norm(x):
        mean, variance = tf.nn.moments(x, [-1], keep_dims=True)
        scale, offset = net.weights(8, positive=True), net.weights(8)
        return tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-12)

    def heads(x):
        parts = tf.reshape(net.dense(tf.reshape(x, [-1, 8]), 8), tf.stack([batch, length, 2, 4]))
        return tf.transpose(parts, [0, 2, 1, 3])

    for _ in range(2):
        h = layer_norm(h)
        q, k, v = heads(h), heads(h), heads(h)
        weights = net.raw.BatchMatMul(x=q, y=k, adj_y=True) * 0.5
        weights = tf.nn.softmax(weights + (1.0 - mask[:, tf.newaxis, tf.newaxis, :]) * -1e4)
        mixed = tf.transpose(tf.matmul(weights, v), [0, 2, 1, 3])
        h += tf.reshape(net.dense(tf.reshape(mixed, [-1, 8]), 8), tf.shape(h))
        wide = net.dense(tf.reshape(h, [-1, 8]), 16)
        wide *= 0.5 * (1.0 + tf.erf(wide / np.float32(np.sqrt(2.0))))
        h += tf.reshape(net.dense(wide, 8), tf.shape(h))
    first = tf.squeeze(h[:, 0:1, ::-1], [1])
    pooled = tf.tanh(net.dense(first, 8))
    return [h, pooled, tf.einsum("bld,bd->bl", h, pooled), tf.argmin(pooled, 1)], {
        "ids": np.array([[3, 7, 1, 0, 0], [2, 9, 4, 19, 5]], np.int32)
    }


def few_bits(tf):
    """Weights kept in eight bits, and numbers rounded as if they were."""
    net = Net(tf)
    x = net.image(None, 8, 8, 3)
    codes = np.random.default_rng(3).integers(0, 256, (3, 3, 3, 4)).astype(np.uint8)
    kernel = tf.dequantize(tf.bitcast(tf.constant(codes), tf.quint8), -1.2, 0.9, "MIN_FIRST")
    h = tf.nn.conv2d(tf.fake_quant_with_min_max_args(x, -1.0, 1.0), kernel, [1, 1, 1, 1], "SAME")
    low, high = tf.Variable(-2.0), tf.Variable(3.0)
    h = tf.fake_quant_with_min_max_vars(tf.nn.relu6(h), low, high)
    ends = np.linspace(0.5, 2.0, 4, dtype=np.float32)
    scales = tf.fake_quant_with_min_max_vars_per_channel(
        net.weights(3, 3, 4, 1)[..., 0], -ends, ends
    )
    h = net.raw.DepthwiseConv2dNative(
        input=h, filter=scales[..., tf.newaxis], strides=[1, 2, 2, 1], padding="SAME"
    )
    return [tf.quantization.quantize_and_dequantize(h, -2.0, 2.0, range_given=True), h], {
        "image": (2, 8, 8, 3)
    }


def choices(tf):
    """Switches and merges of training and inference, rows chosen and put together."""
    net = Net(tf)
    x = net.image(None, 4, 4, 6)
    training = tf.placeholder_with_default(False, [], name="training")
    h = tf.cond(training, lambda: tf.nn.dropout(x, rate=0.5), lambda: tf.identity(x))
    h = tf.cond(tf.reduce_sum(h) > 0, lambda: h * 2.0, lambda: net.conv(h, 1, 6))
    rows = tf.reshape(h, [-1, 6])
    parts = tf.dynamic_partition(rows, tf.cast(rows[:, 0] > 0, tf.int32), 2)
    places = tf.dynamic_partition(tf.range(tf.shape(rows)[0]), tf.cast(rows[:, 0] > 0, tf.int32), 2)
    again = tf.dynamic_stitch(places, [parts[0] - 1.0, parts[1] + 1.0])
    where = tf.where(again > 1.0)
    strided = net.raw.StridedSlice(
        input=h, begin=[0, 3, 0, 1], end=[0, 0, 9, 6], strides=[1, -2, 1, 2],
        begin_mask=1, end_mask=5, ellipsis_mask=0, new_axis_mask=0, shrink_axis_mask=0,
    )  # fmt: skip
    chosen = net.raw.Select(condition=again[:, 0] > 0, x=again, y=-again)
    return [
        *(again, where, tf.gather_nd(again, where), strided, chosen, tf.cumsum(again, 1)),
        *(
            tf.unsorted_segment_sum(again, tf.range(tf.shape(again)[0]) % 3, 3),
            tf.tile(h, [1, 2, 1, 1]),
        ),
        *(tf.scatter_nd(where[:, :1], tf.gather_nd(again, where), [32]), tf.reverse(h, [1])),
    ], {"image": (2, 4, 4, 6)}


NETWORKS = [inception, mobile, detector, recognizer, segmenter, transformer, few_bits, choices]
