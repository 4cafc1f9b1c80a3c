"""Every array finds its layer by name, or both leftovers are listed."""

import dataclasses
import json
import re

import keras
import numpy as np
import pytest

from keras_se import MOBILENET_V3, weights
from tests.keras_se.arrays import named


def image(model, seed=1):
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


def test_folded_weights_compute_the_unfolded_function(tmp_path, build_v3):
    source, target = build_v3(0), build_v3(1)
    arrays, folded = named(source), {}
    for key, kernel in arrays.items():
        layer, role = key.rsplit("/", 1)
        norm = re.sub("(dw)?conv$", "bn", layer)
        gamma = arrays.get(f"{norm}/gamma")
        if role == "kernel" and gamma is not None:
            variance = arrays[f"{norm}/moving_variance"] + 1e-3
            factor = gamma / np.sqrt(variance)
            shaped = factor[:, None] if "dwconv" in layer else factor
            folded[key] = kernel * shaped
            mean, beta = arrays[f"{norm}/moving_mean"], arrays[f"{norm}/beta"]
            folded[f"{layer}/bias"] = beta - mean * factor
        elif "_bn/" not in key:
            folded[key] = kernel
    np.savez(tmp_path / "w.npz", **folded)
    weights.load(target, tmp_path / "w.npz")
    x = image(source)
    np.testing.assert_allclose(target(x), source(x), atol=1e-5)


def test_leftovers_on_both_sides_are_listed(tmp_path, build_v3):
    arrays = named(build_v3())
    del arrays["conv_2/bias"]
    arrays["conv_9/kernel"] = np.zeros((1, 1, 2, 2), "float32")
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(ValueError, match=r"(?s)conv_2: needs kernel.*bias.*conv_9: kernel"):
        weights.load(build_v3(), tmp_path / "w.npz")


def test_another_number_of_classes_keeps_the_body_and_names_what_starts_fresh(tmp_path, build_v3):
    source, target = build_v3(0), build_v3(1, classes=7)
    np.savez(tmp_path / "w.npz", **named(source))
    with pytest.raises(ValueError, match="transfer=True"):
        weights.load(target, tmp_path / "w.npz")
    loaded = weights.load(target, tmp_path / "w.npz", transfer=True)
    assert loaded.fresh == ("logits",)
    assert "start fresh: logits" in str(loaded)
    ours, theirs = named(target), named(source)
    for key in set(ours) - {"logits/kernel", "logits/bias"}:
        np.testing.assert_array_equal(ours[key], theirs[key])


def test_plain_weights_go_into_the_se_twin_whose_se_starts_fresh(tmp_path, build_v3):
    np.savez(tmp_path / "w.npz", **named(build_v3(0, se=None)))
    loaded = weights.load(build_v3(1), tmp_path / "w.npz", transfer=True)
    assert all("_se/" in name for name in loaded.fresh)
    assert len(loaded.fresh) == 2 * 9  # tables 2: nine blocks with SE


def test_transfer_does_not_excuse_another_width(tmp_path, build_v3):
    np.savez(tmp_path / "w.npz", **named(build_v3(0, width=1.0)))
    with pytest.raises(ValueError, match="block_0_3_conv: needs"):
        weights.load(build_v3(1), tmp_path / "w.npz", transfer=True)


def test_a_failed_load_changes_nothing(tmp_path, build_v3):
    model, arrays = build_v3(1), named(build_v3(0))
    before = model.get_weights()
    arrays["logits/bias"] = np.zeros(9, "float32")
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(ValueError, match="logits"):
        weights.load(model, tmp_path / "w.npz")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_loaded_goes_through_json():
    loaded = weights.Loaded(("a",), ("b",), ("c/kernel",))
    assert weights.Loaded.from_dict(json.loads(json.dumps(loaded.to_dict()))) == loaded


def sequence_model():
    """Layers whose weights are no kernels, or several, in a model in a model."""
    x = keras.Input((7, 4))
    y = keras.layers.SeparableConv1D(4, 3, padding="same", name="separable")(x)
    y = keras.layers.LayerNormalization(name="norm")(y)
    y = keras.layers.MultiHeadAttention(2, 3, name="attention")(y, y)
    y = keras.layers.Bidirectional(keras.layers.LSTM(5, name="lstm"), name="both")(y)
    inner = keras.Sequential([keras.Input((10,)), keras.layers.Dense(3, name="dense")], name="in")
    y = keras.layers.BatchNormalization(scale=False, name="plain")(inner(y))
    return keras.Model(x, keras.layers.PReLU(name="prelu")(y))


@pytest.mark.parametrize("suffix", [".npz", ".weights.h5", ".h5"])
def test_layers_of_any_kind_find_their_weights(tmp_path, suffix):
    source, target, path = sequence_model(), sequence_model(), tmp_path / f"w{suffix}"
    rng = np.random.default_rng(0)
    source.set_weights([rng.normal(size=w.shape) for w in source.weights])
    if suffix == ".npz":
        np.savez(path, **{w.path: np.asarray(w) for w in source.weights})
    elif suffix == ".weights.h5":
        source.save_weights(path)
    else:
        source.save(path)
    loaded = weights.load(target, path)
    assert not loaded.fresh and not loaded.unused
    for ours, theirs in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_layer_renamed_since_it_was_built_gets_all_its_weights(tmp_path, build_v3):
    source, target = build_v3(0), build_v3(1)
    np.savez(
        tmp_path / "w.npz",
        **{key.replace("block_0_se", "gate"): a for key, a in named(source).items()},
    )
    target.get_layer("block_0_se").name = "gate"
    assert not weights.load(target, tmp_path / "w.npz").fresh
    for ours, theirs in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_static_se_takes_the_convolutions_of_dynamic_se(tmp_path, build_v3):
    source = build_v3(0)
    np.savez(tmp_path / "w.npz", **named(source))
    static = dataclasses.replace(MOBILENET_V3, kind="static")
    loaded = weights.load(build_v3(1, se=static), tmp_path / "w.npz", transfer=True)
    assert loaded.fresh == tuple(f"block_{i}_se" for i in (0, 3, 4, 5, 6, 7, 8, 9, 10))
    assert "block_0_se/reduce" in loaded.layers
