"""Every weight finds its layer, or both leftovers are listed."""

import json
import pickle
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_se import models, weights

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"real weights and images are not at {SHARED.parent.name}/data"
)


def build(seed=0, **kwargs):
    """A small V3 whose weights, batch statistics included, are random."""
    arguments = {"input_shape": (32, 32, 3), "classes": 5, "width": 0.5} | kwargs
    model = models.build("mobilenet_v3_small", **arguments)
    randomize(model, seed)
    return model


def randomize(model, seed=0):
    """Give every weight a value that keeps signals near 1 in size."""
    rng = np.random.default_rng(seed)
    for w in model.weights:
        if w.path.endswith("kernel"):
            fan_in = np.prod(w.shape[:-1]) if w.shape[-1] > 1 else np.prod(w.shape[:2])
            w.assign(rng.normal(0, fan_in**-0.5, w.shape))
        elif w.path.endswith(("variance", "gamma")):
            w.assign(rng.uniform(0.5, 1.5, w.shape))
        else:
            w.assign(rng.normal(0, 0.3, w.shape))


def named(model):
    return dict(zip((w.path for w in model.weights), model.get_weights(), strict=True))


def image(model, seed=1):
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


def write_safetensors(path, arrays):
    """Write the format by its specification, as an oracle for the reader."""
    header, blobs, offset = {}, [], 0
    for name, array in arrays.items():
        blob = np.ascontiguousarray(array, "<f4").tobytes()
        span = [offset, offset + len(blob)]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": span}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".weights.h5"])
def test_every_format_round_trips_by_layer_name(tmp_path, suffix):
    source, target, path = build(0), build(1), tmp_path / f"w{suffix}"
    if suffix == ".npz":
        np.savez(path, **named(source))
    elif suffix == ".safetensors":
        write_safetensors(path, named(source))
    else:
        source.save_weights(path)
    loaded = weights.load(target, path)
    assert not loaded.fresh
    assert not loaded.unused
    for ours, theirs in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_folded_weights_compute_the_unfolded_function(tmp_path):
    source, target = build(0), build(1)
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


def test_leftovers_on_both_sides_are_listed(tmp_path):
    arrays = named(build())
    del arrays["conv_2/bias"]
    arrays["conv_9/kernel"] = np.zeros((1, 1, 2, 2), "float32")
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(ValueError, match=r"(?s)conv_2: needs kernel.*bias.*conv_9: kernel"):
        weights.load(build(), tmp_path / "w.npz")


def test_another_number_of_classes_keeps_the_body_and_names_what_starts_fresh(tmp_path):
    source, target = build(0), build(1, classes=7)
    np.savez(tmp_path / "w.npz", **named(source))
    with pytest.raises(ValueError, match="transfer=True"):
        weights.load(target, tmp_path / "w.npz")
    loaded = weights.load(target, tmp_path / "w.npz", transfer=True)
    assert loaded.fresh == ("logits",)
    assert "start fresh: logits" in str(loaded)
    ours, theirs = named(target), named(source)
    for key in set(ours) - {"logits/kernel", "logits/bias"}:
        np.testing.assert_array_equal(ours[key], theirs[key])


def test_plain_weights_go_into_the_se_twin_whose_se_starts_fresh(tmp_path):
    np.savez(tmp_path / "w.npz", **named(build(0, se=None)))
    loaded = weights.load(build(1), tmp_path / "w.npz", transfer=True)
    assert all("_se/" in name for name in loaded.fresh)
    assert len(loaded.fresh) == 2 * 9  # tables 2: nine blocks with SE


def test_transfer_does_not_excuse_another_width(tmp_path):
    np.savez(tmp_path / "w.npz", **named(build(0, width=1.0)))
    with pytest.raises(ValueError, match="block_0_3_conv: needs"):
        weights.load(build(1), tmp_path / "w.npz", transfer=True)


def test_a_failed_load_changes_nothing(tmp_path):
    model, arrays = build(1), named(build(0))
    before = model.get_weights()
    arrays["logits/bias"] = np.zeros(9, "float32")
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(ValueError, match="logits"):
        weights.load(model, tmp_path / "w.npz")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".pkl"])
def test_a_pickle_is_refused_unread_with_the_way_to_convert_it(tmp_path, suffix):
    class Trap:
        def __reduce__(self):
            return (exit, ())

    path = tmp_path / f"w{suffix}"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"(?s)weights_only=True.*save_file"):
        weights.load(build(), path)


def test_a_pickle_inside_an_npz_is_refused(tmp_path):
    np.savez(tmp_path / "w.npz", **{"conv_conv/kernel": np.array([{}], object)})
    with pytest.raises(ValueError, match="allow_pickle"):
        weights.load(build(), tmp_path / "w.npz")


def test_other_files_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"numpy\.savez"):
        weights.load(build(), tmp_path / "w.txt")


def test_bfloat16_is_the_upper_half_of_a_float32(tmp_path):
    text = json.dumps({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    # 1.0 is 0x3F800000 and -2.5 is 0xC0200000
    data = bytes.fromhex("803f20c0")
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    assert weights.read(path)["a"].tolist() == [1.0, -2.5]


def test_loaded_goes_through_json():
    loaded = weights.Loaded(("a",), ("b",), ("c/kernel",))
    assert weights.Loaded.from_dict(json.loads(json.dumps(loaded.to_dict()))) == loaded


@needs_shared
def test_real_weights_load_by_name():
    model = models.build("mobilenet_v3_small", preprocessing=(1 / 127, -128 / 127))
    loaded = weights.load(model, SHARED / "weights" / "mobilenet_v3_small_imagenet.npz")
    assert not loaded.fresh


def test_names_of_keras_applications_are_known():
    source = keras.applications.MobileNetV3Small(
        weights=None, input_shape=(32, 32, 3), classes=5, include_preprocessing=False
    )
    randomize(source)
    target = build(1, width=1.0, preprocessing=False)
    weights.assign(target, named(source))
    x = image(source) / 127.5 - 1
    np.testing.assert_allclose(target(x), source(x), atol=1e-4)
