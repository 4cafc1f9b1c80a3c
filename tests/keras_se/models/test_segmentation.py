"""The networks that score each pixel."""

import numpy as np
import pytest

from keras_se import ConcurrentSqueezeExcite, SEConfig, SpatialSqueezeExcite, models, weights
from keras_se.counting import complexity
from keras_se.models.segmentation import ENCODERS


def of_kind(model, kind):
    return [layer.name for layer in model.layers if type(layer) is kind]


EVERYDAY = (("mobilenet_v2", 3), ("mobilenet_v3_small", 5), ("efficientnet_b0", 1))


@pytest.mark.parametrize(
    ("encoder", "channels"),
    [
        pytest.param(e, c, marks=[] if (e, c) in EVERYDAY else pytest.mark.slow)
        for e in ENCODERS
        for c in (1, 3, 5)
    ],
)
def test_unet_stands_on_any_mobile_encoder(encoder, channels):
    shape = (32, 64, channels)
    model = models.build("unet", encoder=encoder, input_shape=shape, classes=3, width=0.5)
    scores = model(np.zeros((1, *shape), "float32"))
    assert scores.shape == (1, 32, 64, 3)
    np.testing.assert_allclose(np.sum(scores, -1), 1, atol=1e-5)


def test_unet_has_scse_after_each_decoder_block():
    model = models.build("unet", input_shape=(32, 32, 3), width=0.35)
    assert of_kind(model, ConcurrentSqueezeExcite) == [
        f"decoder_{stride}_se" for stride in (16, 8, 4, 2, 1)
    ]


def test_se_is_the_decoders_and_encoder_se_the_encoders():
    model = models.build(
        "unet",
        se=SEConfig(kind="sse"),
        encoder="mobilenet_v3_small",
        encoder_se=None,
        input_shape=(32, 32, 3),
    )
    assert len(of_kind(model, SpatialSqueezeExcite)) == 5
    assert not of_kind(model, ConcurrentSqueezeExcite)
    plain = models.build("unet", se=None, encoder_se=None, input_shape=(32, 32, 3))
    assert complexity(plain).se_params == 0


def test_unet_expects_its_encoders_pixels():
    for encoder in ("mobilenet_v2", "efficientnet_b0"):
        scale, offset = models.find(encoder).preprocessing
        model = models.build("unet", encoder=encoder, input_shape=(32, 32, 3), width=0.5)
        layer = model.get_layer("rescaling")
        np.testing.assert_allclose(layer.scale, scale)
        np.testing.assert_allclose(layer.offset, offset)


@pytest.mark.parametrize("name", ["unet", "lraspp_small"])
def test_any_size_divisible_by_the_stride_runs(name):
    model = models.build(name, input_shape=(None, None, 3), classes=3, width=0.5)
    for height, width in ((32, 64), (64, 96)):
        scores = model(np.zeros((1, height, width, 3), "float32"))
        assert scores.shape == (1, height, width, 3)
        np.testing.assert_allclose(np.sum(scores, -1), 1, atol=1e-5)


@pytest.mark.parametrize(("name", "advice"), [("unet", "192, 256"), ("lraspp", "192, 240")])
def test_other_sizes_are_refused_with_the_next_that_fits(name, advice):
    with pytest.raises(ValueError, match=advice):
        models.build(name, input_shape=(180, 240, 3))


def test_unknown_encoder_lists_the_known():
    with pytest.raises(ValueError, match="mobilenet_v3_small"):
        models.build("unet", encoder="resnet50")


def test_lraspp_has_the_parameters_of_torchvisions():
    # torchvision, LRASPP_MobileNet_V3_Large_Weights: num_params 3,221,538
    body = 2_971_952
    head = (960 * 128 + 2 * 128) + 960 * 128 + (128 * 21 + 21) + (40 * 21 + 21)
    assert body + head == 3_221_538
    counted = complexity(models.build("lraspp", input_shape=(64, 64, 3)))
    assert counted.trainable_params == 3_221_538


def test_classification_weights_go_into_the_encoder(tmp_path):
    source = models.build("mobilenet_v3_small", input_shape=(32, 32, 3), classes=5)
    arrays = dict(zip((w.path for w in source.weights), source.get_weights(), strict=True))
    np.savez(tmp_path / "w.npz", **arrays)
    model = models.build("unet", encoder="mobilenet_v3_small", input_shape=(32, 32, 3))
    loaded = weights.load(model, tmp_path / "w.npz", transfer=True)
    assert {name.split("/")[0] for name in loaded.fresh} == {
        layer.name for layer in model.layers if layer.weights and "decoder" in layer.name
    } | {"logits"}
    assert loaded.unused == ("conv_2/kernel", "conv_2/bias")
