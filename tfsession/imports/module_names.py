"""The tables: which public names a module of TensorFlow stands for.

Names are without the leading `tensorflow.`; "" is `tensorflow` itself. Every prefix of a public
name is a module as it is and needs no row here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = [
    *("CHANGED", "CONTRIB", "MODULES", "RENAMED", "TEXTS"),
    *("is_message_module", "plain", "prefixes", "searched"),
]

# The release whose names programs find; what tfsession follows in all else is tfsession.VERSION.
_VERSION: Final = "1.15.5"
TEXTS: Final = {
    "__version__": _VERSION,
    "VERSION": _VERSION,
    "version.VERSION": _VERSION,
    "__git_version__": "unknown",
}

# Module -> the namespaces that hold its names, "." for `tf` itself. Only where what stands there
# under a name is the same function; a module's own public names come first anyway.
MODULES: Final = {
    "contrib.data": "data.experimental data",
    "contrib.distributions": "distributions",
    "contrib.framework": "train",
    "contrib.framework.python.ops": "contrib.framework",
    "contrib.framework.python.ops.arg_scope": "contrib.framework",
    "contrib.layers.python.layers": "contrib.layers",
    "contrib.layers.python.layers.initializers": "contrib.layers",
    "contrib.layers.python.layers.layers": "contrib.layers",
    "contrib.layers.python.layers.regularizers": "contrib.layers",
    "contrib.layers.python.layers.utils": "contrib.layers",
    "contrib.learn.python.learn.datasets.mnist": "contrib.learn.datasets.mnist",
    "contrib.lookup": "lookup",
    "contrib.legacy_seq2seq.python.ops.seq2seq": "contrib.legacy_seq2seq",
    "contrib.rnn": "nn.rnn_cell nn",
    "contrib.rnn.python.ops.core_rnn_cell": "contrib.rnn nn.rnn_cell",
    "contrib.rnn.python.ops.gru_ops": "contrib.rnn",
    "contrib.rnn.python.ops.lstm_ops": "contrib.rnn",
    "contrib.rnn.python.ops.rnn": "contrib.rnn",
    "contrib.rnn.python.ops.rnn_cell": "contrib.rnn nn.rnn_cell",
    "contrib.seq2seq.python.ops.attention_wrapper": "contrib.seq2seq",
    "contrib.seq2seq.python.ops.basic_decoder": "contrib.seq2seq",
    "contrib.seq2seq.python.ops.beam_search_decoder": "contrib.seq2seq",
    "contrib.seq2seq.python.ops.beam_search_ops": "contrib.seq2seq",
    "contrib.seq2seq.python.ops.decoder": "contrib.seq2seq",
    "contrib.seq2seq.python.ops.helper": "contrib.seq2seq",
    "contrib.seq2seq.python.ops.loss": "contrib.seq2seq",
    "contrib.slim": "contrib.layers contrib.framework",
    "contrib.training.python.training.hparam": "contrib.training",
    "contrib.util": ".",
    "examples.tutorials.mnist.input_data": "contrib.learn.datasets.mnist",
    "python": ".",
    "python.client.session": ".",
    "python.data.ops.dataset_ops": "data",
    "python.data.ops.iterator_ops": "data",
    "python.framework.constant_op": ".",
    "python.framework.device": ".",
    "python.framework.dtypes": ". dtypes",
    "python.framework.errors": "errors",
    "python.framework.errors_impl": "errors",
    "python.framework.graph_util": "graph_util",
    "python.framework.importer": ".",
    "python.framework.indexed_slices": ".",
    "python.framework.load_library": ".",
    "python.framework.ops": ". dtypes",
    "python.framework.random_seed": ".",
    "python.framework.sparse_tensor": ".",
    "python.framework.tensor_shape": ". compat",
    "python.framework.tensor_util": ".",
    "python.framework.test_util": "test",
    "python.framework.versions": "version .",
    "python.layers.base": "layers",
    "python.layers.convolutional": "layers",
    "python.layers.core": "layers",
    "python.layers.layers": "layers",
    "python.layers.normalization": "layers",
    "python.layers.pooling": "layers",
    "python.lib.io.file_io": "gfile io.gfile",
    "python.lib.io.tf_record": "python_io io",
    "python.ops.array_ops": ".",
    "python.ops.candidate_sampling_ops": "nn",
    "python.ops.check_ops": ". debugging",
    "python.ops.clip_ops": ".",
    "python.ops.control_flow_ops": ".",
    "python.ops.ctc_ops": "nn",
    "python.ops.data_flow_ops": ". queue lookup",
    "python.ops.embedding_ops": "nn",
    "python.ops.functional_ops": ".",
    "python.ops.gradients": ".",
    "python.ops.gradients_impl": ".",
    "python.ops.image_ops": "image",
    "python.ops.init_ops": ". initializers",
    "python.ops.io_ops": ". io",
    "python.ops.linalg_ops": ". linalg",
    "python.ops.logging_ops": ".",
    "python.ops.lookup_ops": "lookup .",
    "python.ops.losses.losses": "losses",
    "python.ops.losses.losses_impl": "losses",
    "python.ops.math_ops": ". math",
    "python.ops.metrics": "metrics",
    "python.ops.metrics_impl": "metrics",
    "python.ops.nn": "nn",
    "python.ops.nn_impl": "nn",
    "python.ops.nn_ops": "nn",
    "python.ops.parsing_ops": ". io",
    "python.ops.partitioned_variables": ".",
    "python.ops.random_ops": ". random",
    "python.ops.rnn": "nn",
    "python.ops.rnn_cell": "nn.rnn_cell",
    "python.ops.rnn_cell_impl": "nn.rnn_cell",
    "python.ops.script_ops": ".",
    "python.ops.sparse_ops": ". sparse",
    "python.ops.special_math_ops": ". math",
    "python.ops.standard_ops": ".",
    "python.ops.state_ops": ".",
    "python.ops.string_ops": ". strings",
    "python.ops.summary_ops": "summary",
    "python.ops.template": ".",
    "python.ops.tensor_array_ops": ".",
    "python.ops.variable_scope": ".",
    "python.ops.variable_v1": ".",
    "python.ops.variables": ".",
    "python.ops.while_loop": ".",
    "python.ops.cond": ".",
    "python.platform.app": "app",
    "python.platform.flags": "flags",
    "python.platform.gfile": "gfile",
    "python.platform.googletest": "test",
    "python.platform.resource_loader": "resource_loader",
    "python.platform.test": "test",
    "python.platform.tf_logging": "logging",
    "python.profiler.model_analyzer": "profiler",
    "python.profiler.option_builder": "profiler",
    "python.pywrap_tensorflow": "train",
    "python.summary.summary": "summary",
    "python.summary.summary_iterator": "train",
    "python.summary.writer.writer": "summary",
    "python.summary.writer.writer_cache": "summary",
    "python.training": "train",
    "python.training.adagrad": "train",
    "python.training.adam": "train",
    "python.training.basic_session_run_hooks": "train",
    "python.training.checkpoint_management": "train",
    "python.training.checkpoint_utils": "train",
    "python.training.coordinator": "train",
    "python.training.device_setter": "train",
    "python.training.ftrl": "train",
    "python.training.gradient_descent": "train",
    "python.training.input": "train",
    "python.training.learning_rate_decay": "train",
    "python.training.momentum": "train",
    "python.training.monitored_session": "train",
    "python.training.moving_averages": "train",
    "python.training.optimizer": "train",
    "python.training.queue_runner": "train",
    "python.training.queue_runner_impl": "train",
    "python.training.rmsprop": "train",
    "python.training.saver": "train",
    "python.training.server_lib": "train",
    "python.training.session_manager": "train",
    "python.training.session_run_hook": "train",
    "python.training.supervisor": "train",
    "python.training.sync_replicas_optimizer": "train",
    "python.training.training": "train",
    "python.training.training_util": "train",
    "python.util.compat": "compat",
    "python.util.nest": "nest",
    "contrib.framework.python.framework": "contrib.framework",
    "contrib.framework.python.ops.variables": "contrib.framework train",
    "python.eager.context": ".",
    "python.ops.bitwise_ops": "bitwise",
    "python.ops.confusion_matrix": ". math",
    "python.ops.custom_gradient": ".",
    "python.ops.distributions.bernoulli": "distributions",
    "python.ops.distributions.categorical": "distributions",
    "python.ops.distributions.distribution": "distributions",
    "python.ops.distributions.normal": "distributions",
    "python.ops.histogram_ops": ".",
    "python.ops.manip_ops": "manip .",
    "python.ops.map_fn": ".",
    "python.ops.numerics": ". debugging",
    "python.ops.resource_variable_ops": ".",
    "python.ops.session_ops": ".",
    "python.ops.sets": "sets",
    "python.ops.spectral_ops": "spectral signal .",
    "python.saved_model.builder": "saved_model.builder saved_model",
    "python.saved_model.loader": "saved_model.loader saved_model",
    "python.saved_model.main_op": "saved_model.main_op saved_model",
    "python.saved_model.signature_constants": "saved_model.signature_constants saved_model",
    "python.saved_model.signature_def_utils": "saved_model.signature_def_utils saved_model",
    "python.saved_model.simple_save": "saved_model",
    "python.saved_model.tag_constants": "saved_model.tag_constants saved_model",
    "python.saved_model.utils": "saved_model.utils saved_model",
    "python.training.summary_io": "summary train",
    "python.training.training_ops": "python.ops.gen_ops",
    "python.debug": "",
    "python.keras": "",
    "python.tools.freeze_graph": "",
    "nn.seq2seq": "contrib.legacy_seq2seq",
    "models.rnn.rnn": "nn",
    "models.rnn.rnn_cell": "nn.rnn_cell",
    "models.rnn.seq2seq": "contrib.legacy_seq2seq",
    # A function for each op, with arguments by place.
    **{
        f"python.ops.gen_{family}_ops": "python.ops.gen_ops"
        for family in (
            *("array", "bitwise", "candidate_sampling", "control_flow", "ctc", "data_flow"),
            *("functional", "image", "io", "linalg", "list", "logging", "lookup", "math", "nn"),
            *("parsing", "random", "resource_variable", "rnn", "script", "set", "sparse"),
            *("spectral", "state", "stateless_random", "string", "user"),
        )
    },
    "python.training.gen_training_ops": "python.ops.gen_ops",
}
# A name of before TensorFlow 1.0, or of a private module, whose public name is another one.
RENAMED: Final = {
    "audio_summary": "summary.audio",
    "batch_cholesky": "cholesky",
    "batch_matrix_band_part": "matrix_band_part",
    "batch_matrix_determinant": "matrix_determinant",
    "batch_matrix_diag": "matrix_diag",
    "batch_matrix_diag_part": "matrix_diag_part",
    "batch_matrix_inverse": "matrix_inverse",
    "batch_matrix_solve": "matrix_solve",
    "batch_matrix_transpose": "matrix_transpose",
    "complex_abs": "abs",
    "concat_v2": "concat",
    "histogram_summary": "summary.histogram",
    "image_summary": "summary.image",
    "inv": "reciprocal",
    "listdiff": "setdiff1d",
    "merge_all_summaries": "summary.merge_all",
    "merge_summary": "summary.merge",
    "mul": "multiply",
    "neg": "negative",
    "nn.bidirectional_rnn": "nn.static_bidirectional_rnn",
    "nn.deconv2d": "nn.conv2d_transpose",
    "nn.rnn": "nn.static_rnn",
    "nn.state_saving_rnn": "nn.static_state_saving_rnn",
    "pack": "stack",
    "python.framework.tensor_util.MakeNdarray": "make_ndarray",
    "python.framework.tensor_util.constant_value": "get_static_value",
    "python.ops.math_ops.mul": "multiply",
    "python.ops.variable_v1.VariableV1": "Variable",
    "scalar_summary": "summary.scalar",
    "select": "where",
    "sub": "subtract",
    "train.SummaryWriter": "summary.FileWriter",
    "unpack": "unstack",
    "contrib.stateless.stateless_multinomial": "random.stateless_multinomial",
    "contrib.stateless.stateless_random_normal": "random.stateless_normal",
    "contrib.stateless.stateless_random_uniform": "random.stateless_uniform",
    "contrib.stateless.stateless_truncated_normal": "random.stateless_truncated_normal",
    "contrib.util.constant_value": "get_static_value",
}
# A name of before TensorFlow 1.0 that another one took the place of, with other arguments: the new
# name, and what has changed.
CHANGED: Final = {
    "batch_matmul": ("matmul", "adj_x and adj_y are adjoint_a and adjoint_b there"),
    "batch_self_adjoint_eig": ("self_adjoint_eig", "it gives a pair instead of one tensor"),
    "batch_svd": ("svd", "compute_uv and full_matrices have changed places there"),
}
# The packages of tf.contrib in TensorFlow 1.15: a program may import any, and use it or not.
CONTRIB: Final = frozenset(
    (
        *("all_reduce", "autograph", "batching", "bayesflow", "bigtable", "boosted_trees"),
        *("checkpoint", "cloud", "cluster_resolver", "coder", "compiler"),
        *("constrained_optimization", "copy_graph", "crf", "cudnn_rnn", "data", "decision_trees"),
        *("deprecated", "distribute", "distributions", "eager", "estimator", "factorization"),
        *("feature_column", "framework", "fused_conv", "gan", "graph_editor", "grid_rnn"),
        *("hadoop", "image", "input_pipeline", "integrate", "kafka", "keras", "kernel_methods"),
        *("kinesis", "labeled_tensor", "layers", "learn", "legacy_seq2seq", "libsvm"),
        *("linear_optimizer", "lookup", "losses", "memory_stats", "meta_graph_transform"),
        *("metrics", "mixed_precision", "model_pruning", "nccl", "nearest_neighbor", "nn", "opt"),
        *("optimizer_v2", "periodic_resample", "predictor", "proto", "quantization", "quantize"),
        *("rate", "receptive_field", "recurrent", "reduce_slice_ops", "remote_fused_graph"),
        *("resampler", "rnn", "rpc", "saved_model", "seq2seq", "session_bundle", "signal"),
        *("slim", "solvers", "sparsemax", "specs", "staging", "stat_summarizer", "stateless"),
        *("summary", "tensor_forest", "tensorboard", "tensorrt", "testing", "tfprof"),
        *("timeseries", "tpu", "training", "util"),
    )
)
_MESSAGES: Final = re.compile(r"core(\.(example|framework|protobuf|util)(\.\w+_pb2)?)?")


def plain(module: str) -> str:
    """The module's name without `compat.v1`, which holds what the module above it holds."""
    while module == "compat.v1" or module.startswith("compat.v1."):
        module = module[len("compat.v1.") :]
    return module


def is_message_module(module: str) -> bool:
    """Whether the module is one of generated message classes, or above such."""
    return _MESSAGES.fullmatch(module) is not None


def prefixes(dotted: str) -> Iterator[str]:
    """The modules above a dotted name, the innermost first, without ""."""
    while dotted := dotted.rpartition(".")[0]:
        yield dotted


def searched(module: str) -> tuple[str, ...]:
    """The namespaces, each "" or with a dot at its end, that hold the names of a module."""
    spaces = (module, *MODULES.get(module, "").split())
    return tuple("" if space in ("", ".") else f"{space}." for space in spaces)
