"""What holds for every network: it builds, runs, saves, and `se` means what it says."""

import keras
import numpy as np
import pytest

from keras_se import PAPER, SEConfig, models, weights
from keras_se.counting import complexity
from tests.keras_se.models.small import small


def test_any_kind_of_se_fits_in_a_network():
    model = small("mobilenet_v3_small", se=SEConfig(kind="scse"))
    assert model(np.zeros((1, 48, 48, 3), "float32")).shape == (1, 5)


FAMILIES = [
    "mobilenet_v1",
    "mnasnet_a1",
    "efficientnet_b0",
    "mobilenet_v3_small",
    "se_shufflenet_v1",
    "se_resnet18",
    "se_resnext50_32x4d",
    "se_vgg16_bn",
    "se_bn_inception",
]


REST = sorted(set(models.names()) - set(FAMILIES))


@pytest.mark.parametrize(
    "name", [*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in REST)]
)
def test_every_network_runs_and_comes_back_from_its_config(name):
    side = 96 if "inception_resnet" in name else 64
    model = small(name, input_shape=(side, side, 3), width=0.25)
    twin = keras.Model.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    x = np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype("float32")
    scores = keras.ops.convert_to_numpy(model(x))
    assert scores.shape[-1] == 5
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(twin(x), scores, atol=1e-5)


GREY = ("se_resnet18", "efficientnet_b0")


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(
    "name",
    [
        *GREY,
        *(pytest.param(n, marks=pytest.mark.slow) for n in models.names() if n not in GREY),
    ],
)
def test_every_network_takes_grey_and_multi_channel_images(name, channels):
    side = 96 if "inception_resnet" in name else 64
    model = small(name, input_shape=(side, side, channels), width=0.25)
    scores = keras.ops.convert_to_numpy(model(np.zeros((1, side, side, channels), "float32")))
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["se_resnet18", "mobilenet_v2"])
def test_se_free_twin_differs_in_se_alone(name):
    with_se = complexity(small(name, se=PAPER))
    without = complexity(small(name, se=None))
    assert without.trainable_params == with_se.trainable_params - with_se.se_params
    assert with_se.se_params > 0


THEIRS = {
    "mobilenet_v3_small": (keras.applications.MobileNetV3Small, (1 / 127, -128 / 127)),
    "efficientnet_b0": (keras.applications.EfficientNetB0, None),
}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mobilenet_v3_small", 20),
        pytest.param("mobilenet_v3_small", 500, marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", 500, marks=pytest.mark.slow),
    ],
)
def test_real_weights_see_what_keras_applications_sees(shared_data, capsys, name, count):
    """Both get the folded weights of the file; images end in one of 1,000 classes."""
    pillow = pytest.importorskip("PIL.Image")
    path = shared_data / "weights" / f"{name}_imagenet.npz"
    files = sorted((shared_data / "imagenet500").glob("*.jpg"))[:: 500 // count]
    pixels = np.stack([np.asarray(pillow.open(f).convert("RGB")) for f in files]).astype("float32")
    scale, offset = THEIRS[name][1] or models.find(name).preprocessing
    ours = models.build(name, preprocessing=(scale, offset))
    weights.load(ours, path)
    theirs = THEIRS[name][0](weights=None)
    load_folded(theirs, dict(np.load(path)))
    x = pixels * np.asarray(scale, "float32") + np.asarray(offset, "float32")
    x = 127.5 * (x + 1) if name == "mobilenet_v3_small" else 255 * x  # undo their own rescaling
    a = ours.predict(pixels, batch_size=20, verbose=0)
    b = theirs.predict(x, batch_size=20, verbose=0)
    for mine, other in zip(a, b, strict=True):
        fifth = np.sort(other)[-5]
        agreed = set(np.argsort(mine)[-5:]) == set(np.argsort(other)[-5:])
        assert agreed or np.sum(np.abs(other - fifth) < 1e-5) > 1  # a tie
    top1 = np.mean([int(f.stem) for f in files] == a.argmax(-1))
    with capsys.disabled():
        print(f"\n{name}: top-1 {top1:.1%} on {len(files)} images", end=" ")
    assert top1 > 0.6


def load_folded(model, arrays):
    """Give each BatchNorm gamma 1, beta the bias, mean 0, variance 1 - epsilon, by hand."""
    layers = iter(model.layers)
    for layer in layers:
        kernel = arrays.get(f"{layer.name}/kernel")
        if kernel is None:
            continue
        bias = arrays[f"{layer.name}/bias"]
        shape = layer.weights[0].shape
        if layer.use_bias:
            layer.set_weights([kernel.reshape(shape), bias])
            continue
        layer.set_weights([kernel.reshape(shape)])
        bn = next(after for after in layers if isinstance(after, keras.layers.BatchNormalization))
        one = np.ones_like(bias)
        bn.set_weights([one, bias, 0 * one, one * (1 - bn.epsilon)])
