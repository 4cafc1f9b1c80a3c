"""Every construction that int8 runtimes refuse becomes one that stays in one XNNPACK partition."""

import keras
import numpy as np
import pytest

import keras_se
import mobile

L = keras.layers
ops = keras.ops


def hard_swish(x):
    return L.Activation("hard_silu")(x)


def channel_shuffle(x):
    x = L.Reshape((16, 16, 2, 4))(x)
    return L.Reshape((16, 16, 8))(L.Permute((1, 2, 4, 3))(x))


def with_se(config):
    return lambda x: config.layer()(L.ReLU()(x))


BODIES = {
    "hard swish": hard_swish,
    "swish": L.Activation("silu"),
    "average pooling": L.AveragePooling2D(2),
    "average pooling, same": L.AveragePooling2D(3, 1, padding="same"),
    "ReLU after a maximum pooling": lambda x: L.ReLU()(L.MaxPooling2D(2)(x)),
    "ReLU after a concatenation": lambda x: L.ReLU()(L.Concatenate()([x, L.Conv2D(8, 1)(x)])),
    "ReLU6 after a sum": lambda x: L.ReLU(6.0)(L.Add()([x, L.Conv2D(8, 1)(x)])),
    "BatchNorm before ReLU": lambda x: L.ReLU()(L.BatchNormalization()(L.Add()([x, x * 2]))),
    "maximum": lambda x: L.Maximum()([x, L.Conv2D(8, 1)(x)]),
    "nearest upsampling": L.UpSampling2D(2),
    "nearest upsampling by 3": L.UpSampling2D(3),
    "concatenation of seven": lambda x: L.Concatenate()([L.Conv2D(3, 1)(x) for _ in range(7)]),
    "bilinear upsampling": L.UpSampling2D(2, interpolation="bilinear"),
    "channel shuffle": channel_shuffle,
    "channel split": lambda x: L.Concatenate()(ops.split(x, 2, axis=-1)[::-1]),
    "grouped convolution": L.Conv2D(8, 3, groups=2, padding="same"),
    "transposed convolution": L.Conv2DTranspose(8, 3, strides=2, padding="same"),
    "cSE": with_se(keras_se.MOBILE),
    "cSE with sigmoid": with_se(keras_se.SERVER),
    "cSE, maximum pool": with_se(keras_se.SEConfig(reduction=2, pool="max")),
    "sSE": with_se(keras_se.SEConfig(kind="sse")),
    **{
        f"scSE {aggregate}": with_se(
            keras_se.SEConfig(kind="scse", reduction=2, aggregate=aggregate)
        )
        for aggregate in ("add", "max", "mul", "concat")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_one_partition(name):
    keras.utils.set_random_seed(1)
    x = keras.Input((16, 16, 3))
    y = L.Conv2D(8, 3, padding="same", bias_initializer="normal")(x)
    y = L.Conv2D(8, 3, padding="same")(BODIES[name](y))
    model = keras.Model(x, L.GlobalAveragePooling2D()(y))
    images = np.random.default_rng(0).normal(0, 1, (16, 16, 16, 3)).astype("float32")
    artifact = mobile.convert(model, calibration=images)
    assert mobile.devices.partitions(artifact) == 1
    expected = model.predict(images, verbose=0)
    actual = artifact.restore(mobile.devices.predict(artifact, artifact.prepare(images)))
    actual = np.asarray(actual).reshape(expected.shape)
    assert np.abs(actual - expected).max() < 0.1 * np.ptp(expected)
