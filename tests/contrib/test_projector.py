"""`tf.contrib.tensorboard.plugins.projector`: the file that TensorBoard's projector reads."""

import pytest

import tfsession as tf

FILE = "projector_config.pbtxt"
EXPECTED = """embeddings {
  tensor_name: "words:0"
  metadata_path: "metadata.tsv"
  sprite {
    image_path: "sprite.png"
    single_image_dim: 28
    single_image_dim: 28
  }
}
"""


def filled(config):
    embedding = config.embeddings.add()
    embedding.tensor_name, embedding.metadata_path = "words:0", "metadata.tsv"
    embedding.sprite.image_path = "sprite.png"
    embedding.sprite.single_image_dim.extend([28, 28])
    return config


def test_writes_what_the_projector_reads(tmp_path):
    projector = tf.contrib.tensorboard.plugins.projector
    with tf.summary.FileWriter(str(tmp_path / "of_writer")) as writer:
        projector.visualize_embeddings(writer, filled(projector.ProjectorConfig()))
    projector.visualize_embeddings(tmp_path / "new", filled(projector.ProjectorConfig()))
    for room in ("of_writer", "new"):
        assert (tmp_path / room / FILE).read_text() == EXPECTED


def test_refuses_what_is_no_configuration(tmp_path):
    projector = tf.contrib.tensorboard.plugins.projector
    for config in (None, projector.EmbeddingInfo(), "text"):
        with pytest.raises(TypeError, match="Expected a ProjectorConfig message"):
            projector.visualize_embeddings(tmp_path, config)
    with pytest.raises(ValueError, match="must have a logdir"):
        projector.visualize_embeddings(None, projector.ProjectorConfig())
    assert not (tmp_path / FILE).exists()


@pytest.mark.oracle
@pytest.mark.spec("summaries")
def test_tensorboard_reads_it(tmp_path):
    theirs = pytest.importorskip("tensorboard.plugins.projector")
    from google.protobuf import text_format  # noqa: PLC0415

    projector = tf.contrib.tensorboard.plugins.projector
    projector.visualize_embeddings(tmp_path, filled(theirs.ProjectorConfig()))
    read = text_format.Parse((tmp_path / FILE).read_text(), theirs.ProjectorConfig())
    assert read == filled(theirs.ProjectorConfig())
