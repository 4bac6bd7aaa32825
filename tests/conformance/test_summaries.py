"""Summaries: under real TensorFlow and here, and as the real TensorBoard reads them."""

import warnings

import numpy as np
import pytest
from google.protobuf import text_format

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("summaries")]


def _images(dtype):
    rng = np.random.default_rng(5)
    for depth in (1, 3, 4):
        for low, high in ((0, 1), (-3, 2), (-1, 30), (0, 1e-7), (5, 250)):
            images = rng.uniform(low, high, (2, 9, 7, depth))
            if dtype != "uint8":
                images[0, 1, 2, 0], images[1, 3, 4, -1] = np.nan, -np.inf
            with np.errstate(invalid="ignore"):
                yield (
                    np.clip(images, 0, 255).astype(dtype)
                    if dtype == "uint8"
                    else images.astype(dtype)
                )


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_images(tf, dtype):
    def summaries(module, arrays):
        with module.Graph().as_default(), module.Session() as session:
            built = [module.summary.image("i", array) for array in arrays]
            return [module.Summary.FromString(s).value for s in session.run(built)]

    def decoded(texts):
        with tf.Graph().as_default(), tf.Session() as session:
            return session.run([tf.image.decode_png(text) for text in texts])

    arrays = list(_images(dtype))
    mine, theirs = summaries(tfsession, arrays), summaries(tf, arrays)
    for ours, wanted in zip(mine, theirs, strict=True):
        assert [v.tag for v in ours] == [v.tag for v in wanted]
        for a, b in zip(ours, wanted, strict=True):
            assert (a.image.height, a.image.width) == (b.image.height, b.image.width)
            assert a.image.colorspace == b.image.colorspace
    pixels = [
        decoded([v.image.encoded_image_string for summary in found for v in summary])
        for found in (mine, theirs)
    ]
    for ours, wanted in zip(*pixels, strict=True):
        assert np.array_equal(ours, wanted)


def _write(module, logdir):
    """A program that writes all that TensorBoard shows."""
    with module.Graph().as_default() as graph:
        x = module.placeholder(module.float32, [None], name="x")
        with module.name_scope("layer"):
            y = module.reduce_mean(module.square(x))
            module.summary.scalar("loss", y)
            module.summary.histogram("spread", x, family="all")
        module.summary.image("image", module.reshape(x, [1, 2, 3, 1]), max_outputs=1)
        module.summary.audio("sound", module.reshape(x / 10, [1, 6]), 8000, max_outputs=1)
        module.summary.text("text", module.constant(["*one*", "two"]))
        module.summary.tensor_summary("tensor", x, display_name="T")
        merged = module.summary.merge_all()
        with module.Session() as session:
            writer = module.summary.FileWriter(logdir, graph, filename_suffix=".test")
            for step in range(3):
                writer.add_summary(session.run(merged, {x: np.arange(6.0) * step}), step)
            metadata = module.RunMetadata()
            options = module.RunOptions(trace_level=module.RunOptions.FULL_TRACE)
            session.run(merged, {x: np.arange(6.0)}, options, metadata)
            writer.add_run_metadata(metadata, "step3", 3)
            writer.add_session_log(module.SessionLog(status=module.SessionLog.START), 3)
            writer.close()
            writer.reopen()
            writer.add_summary(session.run(merged, {x: np.arange(6.0)}), 4)
            writer.close()
    return metadata


def _accumulated(logdir):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing import event_accumulator  # noqa: PLC0415

        sizes = dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)
        loaded = event_accumulator.EventAccumulator(str(logdir), size_guidance=sizes)
        return loaded.Reload()


def test_tensorboard_reads_the_files(tmp_path):
    metadata = _write(tfsession, tmp_path)
    board = _accumulated(tmp_path)
    tags = board.Tags()
    assert tags["graph"] is True
    assert tags["meta_graph"] is True
    assert tags["run_metadata"] == ["step3"]
    for kind, tag, read in (
        ("scalars", "layer/loss", board.Scalars),
        ("histograms", "all/layer/all/spread", board.Histograms),
        ("images", "image/image", board.Images),
        ("audio", "sound/audio", board.Audio),
    ):
        assert tags[kind] == [tag]
        assert [e.step for e in read(tag)] == [0, 1, 2, 4]
    assert sorted(tags["tensors"]) == ["tensor", "text"]
    texts = [tfsession.make_ndarray(e.tensor_proto).tolist() for e in board.Tensors("text")]
    assert texts == [[b"*one*", b"two"]] * 4
    assert list(board.PluginTagToContent("text")) == ["text"]
    values = [e.value for e in board.Scalars("layer/loss")]
    assert np.allclose(values, [0, 55 / 6, 220 / 6, 55 / 6])
    assert board.SummaryMetadata("tensor").display_name == "T"
    nodes = {node.name for node in board.Graph().node}
    assert {"x", "layer/loss", "Merge/MergeSummary"} <= nodes
    shown = board.RunMetadata("step3").SerializeToString()
    assert shown == metadata.SerializeToString()


def _write_traced(module, logdir):
    """A graph on two devices, and what a traced step of it took."""
    config = module.ConfigProto(device_count={"CPU": 2})
    with module.Graph().as_default() as graph, module.Session(config=config) as session:
        x = module.placeholder(module.float32, [None, 4], name="x")
        with module.device("/cpu:0"), module.name_scope("layer"):
            w = module.get_variable("w", [4, 3])
            hidden = module.matmul(x, w, name="product")
        with module.device("/cpu:1"):
            y = module.nn.relu(hidden, name="y")
        session.run(module.global_variables_initializer())
        metadata = module.RunMetadata()
        options = module.RunOptions(trace_level=module.RunOptions.FULL_TRACE)
        session.run(y, {x: np.ones([5, 4], np.float32)}, options, metadata)
        with module.summary.FileWriter(logdir, graph) as writer:
            writer.add_run_metadata(metadata, "step", 1)


def _shown_graphs(logdir):
    """What TensorBoard's page of graphs is given: the graph, and times and memory by node."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing import (  # noqa: PLC0415
            data_provider,
            plugin_event_multiplexer,
        )
        from tensorboard.context import RequestContext  # noqa: PLC0415
        from tensorboard.plugins import base_plugin  # noqa: PLC0415
        from tensorboard.plugins.graph import graphs_plugin  # noqa: PLC0415

        runs = plugin_event_multiplexer.EventMultiplexer()
        runs.AddRunsFromDirectory(logdir).Reload()
        provider = data_provider.MultiplexerDataProvider(runs, logdir)
        context = base_plugin.TBContext(logdir=logdir, data_provider=provider)
        plugin = graphs_plugin.GraphsPlugin(context)
        request = RequestContext()
        info = plugin.info_impl(request, "")
        graph, _ = plugin.graph_impl(request, ".", None, False, "", 1024, "_too_large_attrs")
        metadata, _ = plugin.run_metadata_impl(request, "", ".", "step")
    graph = tfsession.GraphDef.FromString(_parsed(graph, tfsession.GraphDef()))
    return info, graph, tfsession.RunMetadata.FromString(_parsed(metadata, tfsession.RunMetadata()))


def _parsed(text, message):
    return text_format.Parse(text, message).SerializeToString()


def test_tensorboard_shows_devices_times_and_memory(tf, tmp_path):
    shown = {}
    for module in (tf, tfsession):
        logdir = str(tmp_path / module.__name__)
        _write_traced(module, logdir)
        info, graph, metadata = _shown_graphs(logdir)
        assert info["."]["run_graph"] is True
        assert info["."]["tags"]["step"]["profile"] is True
        nodes = {node.name: (node.op, node.device) for node in graph.node}
        steps = {
            (device.device, node.node_name): node
            for device in metadata.step_stats.dev_stats
            for node in device.node_stats
        }
        shown[module] = nodes, steps
    (their_nodes, theirs), (nodes, ours) = shown[tf], shown[tfsession]
    assert nodes == their_nodes
    host = "/job:localhost/replica:0/task:0/device:CPU"
    for key in [(f"{host}:0", "w"), (f"{host}:0", "layer/product"), (f"{host}:1", "y")]:
        for steps in (theirs, ours):
            step = steps[key]
            assert step.all_start_micros > 0
            assert step.all_end_rel_micros >= step.op_end_rel_micros >= step.op_start_rel_micros
            assert step.scheduled_micros > 0
        assert [o.tensor_description.shape for o in ours[key].output] == [
            o.tensor_description.shape for o in theirs[key].output
        ]
        assert sum(m.total_bytes for m in ours[key].memory) >= (60 if key[1] != "w" else 0)


def test_each_reads_the_files_of_the_other(tf, tmp_path):
    found = {}
    for module in (tf, tfsession):
        logdir = tmp_path / module.__name__
        _write(module, str(logdir))
        (first, *_) = paths = sorted(logdir.iterdir())
        assert first.name.endswith(".test")
        for reader in (tf, tfsession):
            found[module, reader] = events = []
            for path in paths:
                events += reader.train.summary_iterator(str(path))
    for module in (tf, tfsession):
        pair = [[e.SerializeToString() for e in found[module, r]] for r in (tf, tfsession)]
        assert pair[0] == pair[1]
    mine, theirs = found[tfsession, tf], found[tf, tf]
    # TensorFlow writes the file anew that it opens again within a second.
    theirs = theirs if len(theirs) == len(mine) else None
    for index, event in enumerate(mine):
        kind = event.WhichOneof("what")
        assert kind is not None
        if theirs is not None:
            assert kind == theirs[index].WhichOneof("what")
            assert event.step == theirs[index].step


def test_events_equal_tensorflows(tf, tmp_path):
    """But for times, and for what each says of its own: graphs, traces, PNG files."""
    rows = []
    for module in (tf, tfsession):
        logdir = tmp_path / module.__name__
        _write_simple(module, str(logdir))
        (path,) = logdir.iterdir()
        first, *events = tf.train.summary_iterator(str(path))
        first.source_metadata.ClearField("writer")
        for event in (first, *events):
            event.wall_time = 0
        rows.append([str(event) for event in (first, *events)])
    assert rows[0] == rows[1]


def _write_simple(module, logdir):
    with module.Graph().as_default(), module.Session() as session:
        summaries = module.summary.merge([
            module.summary.scalar("a", 1.5),
            module.summary.histogram("h", np.arange(20.0)),
            module.summary.text("t", module.constant("text")),
        ])  # fmt: skip
        with module.summary.FileWriter(logdir) as writer:
            for step in (1, None, 7.9):
                writer.add_summary(session.run(summaries), step)
            writer.add_session_log(module.SessionLog(msg="m"), 3)
            writer.add_event(module.Event(step=5))
