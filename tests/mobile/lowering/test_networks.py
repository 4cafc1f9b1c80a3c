"""Whole networks, others' and ours, lowered: equal on real photographs.

Batch statistics are those of the photographs; scikit-learn ships the two they are cut from.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

import keras_se
import mobile
from mobile.lowering import lower

SIZE = 96
WEIGHTS = Path(__file__).parents[4] / "shared" / "data" / "weights"


@pytest.fixture(scope="module")
def photographs():
    """Eight 96x96 cuts, RGB in 0..255, at two scales."""
    china, flower = load_sample_images().images
    cuts = [
        image[y : y + SIZE * step : step, x : x + SIZE * step : step]
        for image in (china, flower)
        for step, y, x in ((1, 100, 200), (2, 60, 120), (3, 100, 60), (4, 20, 200))
    ]
    return np.stack(cuts).astype("float32")


def with_statistics_of(model, images):
    """Set each BatchNorm's moving statistics to those of the images, in one pass."""
    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    for layer in norms:
        layer.momentum = 0.0
    model(images, training=True)
    return model


def assert_lowered_equal(model, images):
    expected = np.asarray(model(images, training=False))
    actual = np.asarray(lower(model)(images, training=False))
    assert np.ptp(expected) > 0
    # A network that squares its activations again and again (scSE by product) magnifies rounding:
    # then the bound is what one part in a million of the pixels does to the original.
    moved = np.asarray(model(images * (1 + 1e-6), training=False))
    bound = max(1e-4 * np.abs(expected).max(), np.abs(expected - moved).max())
    assert np.abs(expected - actual).max() <= bound


EVERYDAY = ["MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "DenseNet121"]
SLOW = [
    "MobileNet", "MobileNetV3Large", "EfficientNetB1", "EfficientNetB2", "EfficientNetB3",
    "EfficientNetV2B0", "ResNet50", "ResNet50V2", "VGG16", "InceptionV3", "InceptionResNetV2",
    "NASNetMobile", "Xception",
]  # fmt: skip


@pytest.mark.parametrize(
    "name", [*EVERYDAY, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_keras_applications(name, photographs):
    has_scaling = name.startswith(("MobileNetV3", "EfficientNet"))
    images = photographs if has_scaling else photographs / 127.5 - 1
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(SIZE, SIZE, 3), classifier_activation=None)
    assert_lowered_equal(with_statistics_of(model, images), images)


@pytest.mark.parametrize("name", ["MobileNetV3Small", "MobileNetV3Large"])
def test_keras_applications_minimalistic(name, photographs):
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(SIZE, SIZE, 3), minimalistic=True,
                  classifier_activation=None)  # fmt: skip
    assert_lowered_equal(with_statistics_of(model, photographs), photographs)


CONFIGS = {
    "paper": keras_se.PAPER,
    "mobile": keras_se.MOBILE,
    "server": keras_se.SERVER,
    "sse": keras_se.SEConfig(kind="sse"),
    **{
        f"scse-{aggregate}": keras_se.SEConfig(kind="scse", reduction=4, aggregate=aggregate)
        for aggregate in ("add", "max", "mul")
    },
    "without": None,
}


@pytest.mark.parametrize("se", ["default", *CONFIGS])
def test_our_mobilenet_v3_small_with_every_kind_of_se(se, photographs):
    model = keras_se.models.build(
        "mobilenet_v3_small", se=CONFIGS.get(se, se), input_shape=(SIZE, SIZE, 3), classes=10,
        width=0.5, classifier_activation=None,
    )  # fmt: skip
    assert_lowered_equal(with_statistics_of(model, photographs), photographs)


@pytest.mark.slow
@pytest.mark.parametrize("name", keras_se.models.names())
def test_our_networks(name, photographs):
    model = keras_se.models.build(
        name, input_shape=(SIZE, SIZE, 3), classes=10, classifier_activation=None
    )
    assert_lowered_equal(with_statistics_of(model, photographs), photographs)


@pytest.mark.slow
@pytest.mark.parametrize("se", CONFIGS)
@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "shufflenet_v1"])
def test_our_networks_with_every_kind_of_se(name, se, photographs):
    model = keras_se.models.build(
        name, se=CONFIGS[se], input_shape=(SIZE, SIZE, 3), classes=10, classifier_activation=None
    )
    assert_lowered_equal(with_statistics_of(model, photographs), photographs)


def test_kimm_mobilenet_v3(photographs):
    kimm = pytest.importorskip("kimm", reason="kimm is not installed: pip install kimm")
    model = kimm.models.MobileNetV3W100Small(
        weights=None, input_shape=(SIZE, SIZE, 3), classifier_activation="linear"
    )
    assert_lowered_equal(with_statistics_of(model, photographs), photographs)


def test_keras_hub_mobilenet_v3(photographs):
    reason = "keras-hub is not installed: pip install keras-hub"
    keras_hub = pytest.importorskip("keras_hub", reason=reason, exc_type=ImportError)
    model = keras_hub.models.MobileNetBackbone(
        stackwise_expansion=[[40, 56], [64, 144, 144]],
        stackwise_num_blocks=[2, 3],
        stackwise_num_filters=[[16, 16], [24, 24, 24]],
        stackwise_kernel_size=[[3, 3], [5, 5, 5]],
        stackwise_num_strides=[[2, 1], [2, 1, 1]],
        stackwise_se_ratio=[[None, None], [0.25, 0.25, 0.25]],
        stackwise_activation=[["relu", "relu"], ["hard_swish"] * 3],
        stackwise_padding=[[1, 1], [2, 2, 2]],
        output_num_filters=96,
        input_activation="hard_swish",
        output_activation="hard_swish",
        input_num_filters=16,
        image_shape=(SIZE, SIZE, 3),
        depthwise_filters=8,
        depthwise_stride=1,
        depthwise_residual=False,
        last_layer_filter=128,
        squeeze_and_excite=0.5,
    )
    assert_lowered_equal(
        with_statistics_of(model, photographs / 127.5 - 1), photographs / 127.5 - 1
    )


MOBILE = [
    "mobilenet_v1", "se_mobilenet_v1", "mobilenet_v2", "mnasnet_a1", "efficientnet_b0",
    "efficientnet_lite0", "mobilenet_v3_small", "mobilenet_v3_large", "se_shufflenet_v1",
    "lraspp", "lraspp_small",
]  # fmt: skip
SERVER = ["se_resnet50", "se_resnext50_32x4d", "se_bn_inception"]
SCSE = {
    aggregate: keras_se.SEConfig(kind="scse", reduction=2, min_channels=1, aggregate=aggregate)
    for aggregate in ("add", "max", "mul", "concat")
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "se"), [*((n, "default") for n in MOBILE + SERVER), *(("unet", se) for se in SCSE)]
)
def test_one_partition(name, se, photographs):
    model = keras_se.models.build(
        name, se=SCSE.get(se, se), input_shape=(SIZE, SIZE, 3), classes=10,
        classifier_activation=None,
    )  # fmt: skip
    with_statistics_of(model, photographs)
    images = np.concatenate([photographs, photographs[:, ::-1]])
    artifact = mobile.convert(model, calibration=images, method="minmax")
    assert mobile.devices.partitions(artifact) == 1
