"""Kernels behind folded gates are the least-squares ones, and nothing else is touched."""

import keras
import numpy as np
import pytest

import keras_se
from mobile.tuning import kernel_refit
from mobile.tuning.kernel_refit import refit_kernels

L = keras.layers


def pixels(channels=6, count=32, seed=0):
    return np.random.default_rng(seed).uniform(0.2, 1.0, (count, 8, 8, channels)).astype("float32")


def gated(reader, shape=(8, 8, 6), **options):
    """A model of one gate and what reads it."""
    image = keras.Input(shape, name="image")
    se = keras_se.SqueezeExcite(reduction=2, min_channels=1, name="se", **options)
    model = keras.Model(image, reader(se(image)))
    random = np.random.default_rng(1)
    drawn = [random.normal(0, 1, w.shape) for w in model.weights]
    model.set_weights(
        [
            np.abs(a) if "variance" in w.path else a
            for w, a in zip(model.weights, drawn, strict=True)
        ]
    )
    return model


def halved(model, by=2.0):
    """The model with constants that are too small: as far off as can be reckoned with."""
    found = keras_se.gates(model, pixels(model.input_shape[-1]))
    return keras_se.fold(model, {block.name: block.constant / by for block in found.blocks})


@pytest.mark.parametrize("bias", [True, False])
def test_one_channel_by_hand(bias):
    model = gated(L.Conv2D(1, 1, use_bias=bias, name="conv"), (8, 8, 1))
    # A constant gate: only the last bias is left of the layer that makes it.
    layer = model.get_layer("se")
    layer.set_weights([np.zeros(w.shape) for w in layer.weights])
    folded = halved(model)
    assert refit_kernels(model, folded, pixels(1)) == ("conv",)
    # y is half of what it was: sum of y t over sum of y^2 is 2 k, the ridge pulls towards k.
    kernel, *rest = model.get_layer("conv").get_weights()
    fitted, *left = folded.get_layer("conv").get_weights()
    np.testing.assert_allclose(fitted, kernel * (2 + 0.03) / 1.03, rtol=1e-4)
    assert len(left) == len(rest) and all((a == b).all() for a, b in zip(left, rest, strict=True))


@pytest.mark.parametrize(
    ("strides", "most", "every"),
    [(1, 40_000, 1), (2, 40_000, 1), (1, 100, 26)],  # 40 images of 64 positions: 2560 / 100
)
def test_it_is_the_solution_of_least_squares(monkeypatch, strides, most, every):
    monkeypatch.setattr(kernel_refit, "_MOST_ROWS", most)
    model = gated(L.Conv2D(4, 1, strides=strides, name="conv"))
    x = pixels(count=40)
    folded = halved(model, 1.3)
    scaled = np.asarray(folded.get_layer("se")(x))[:, ::strides, ::strides].reshape(-1, 6)[::every]
    kernel, bias = model.get_layer("conv").get_weights()
    truth = np.asarray(model(x)).reshape(-1, 4)[::every] - bias
    ridge = np.diag(np.sqrt(0.03 * (scaled**2).sum(axis=0)))
    rows = np.concatenate([scaled, ridge]), np.concatenate([truth, ridge @ kernel[0, 0]])
    expected = np.linalg.lstsq(*rows, rcond=None)[0]
    refit_kernels(model, folded, x)
    got = folded.get_layer("conv").get_weights()[0][0, 0]
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "reader",
    [
        L.Conv2D(4, 1, name="reader"),
        L.Dense(4, name="reader"),
        lambda x: L.BatchNormalization()(L.Conv2D(4, 1, use_bias=False, name="reader")(x)),
        keras.Sequential([keras.Input((8, 8, 6)), L.Conv2D(4, 1, name="reader")], name="inner"),
    ],
    ids=["conv", "dense", "before a norm", "in a model"],
)
def test_it_brings_the_output_nearer_on_other_images(reader):
    model = gated(reader)
    folded = halved(model, 1.3)
    x = pixels(seed=5)
    before = np.square(np.asarray(folded(x)) - np.asarray(model(x))).sum()
    weights = model.get_weights()
    assert [path.split("/")[-1] for path in refit_kernels(model, folded, pixels())] == ["reader"]
    assert np.square(np.asarray(folded(x)) - np.asarray(model(x))).sum() < before / 2
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))


def shared(x):
    conv = L.Conv2D(6, 1)
    return conv(conv(x))


class Doubling(L.Dense):
    def call(self, x):
        return 2 * super().call(x)


@pytest.mark.parametrize(
    "reader",
    [
        Doubling(4),
        L.Dense(4, lora_rank=2),
        L.Conv2D(4, 1, kernel_constraint="non_neg"),
        L.Conv2D(4, 3, padding="same"),
        L.Conv2D(6, 1, groups=2),
        L.Conv2D(4, 1, activation="relu"),
        L.ReLU(),
        lambda x: L.Concatenate()([L.Conv2D(4, 1)(x), x]),
        shared,
    ],
    ids=[
        "their class",
        "lora",
        "constraint",
        "3x3",
        "groups",
        "activation",
        "no kernel",
        "read twice",
        "shared",
    ],
)
def test_what_cannot_make_up_for_it_stays(reader):
    model = gated(reader)
    folded = halved(model)
    before = folded.get_weights()
    assert refit_kernels(model, folded, pixels()) == ()
    assert all((a == b).all() for a, b in zip(before, folded.get_weights(), strict=True))


def test_a_constant_that_was_there_before_is_none_of_its_business():
    model = gated(lambda x: L.Conv2D(4, 1)(keras_se.ChannelScale()(L.ReLU()(x))))
    assert refit_kernels(model, halved(model), pixels()) == ()


def test_the_second_is_fitted_after_the_first():
    def reader(x):
        x = L.Activation("silu")(L.Conv2D(6, 1, name="first")(x))
        x = keras_se.SqueezeExcite(reduction=2, min_channels=1, name="se2")(x)
        return L.Conv2D(4, 1, name="second")(x)

    model = gated(reader)
    both, alone = halved(model, 1.3), halved(model, 1.3)
    assert refit_kernels(model, both, pixels()) == ("first", "second")
    alone.get_layer("first").set_weights(both.get_layer("first").get_weights())
    scaled = keras.Model(alone.input, alone.get_layer("second").input)(pixels())
    scaled = np.asarray(scaled).reshape(-1, 6)
    kernel, bias = model.get_layer("second").get_weights()
    truth = np.asarray(model(pixels())).reshape(-1, 4) - bias
    ridge = np.diag(np.sqrt(0.03 * (scaled**2).sum(axis=0)))
    rows = np.concatenate([scaled, ridge]), np.concatenate([truth, ridge @ kernel[0, 0]])
    got = both.get_layer("second").get_weights()[0][0, 0]
    np.testing.assert_allclose(got, np.linalg.lstsq(*rows, rcond=None)[0], rtol=1e-2, atol=1e-3)
