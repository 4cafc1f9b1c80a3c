"""What holds for every network: it builds, runs, saves, and `se` means what it says."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_se import MOBILE, PAPER, SEConfig, SqueezeExcite, models, weights
from keras_se.counting import complexity


def small(network, **kwargs):
    return models.build(
        network, **{"input_shape": (48, 48, 3), "classes": 5, "width": 0.5} | kwargs
    )


def se_layers(model):
    return [layer for layer in model.layers if isinstance(layer, SqueezeExcite)]


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mobilenet_v3_large"])
def test_v3_squeezes_where_tables_1_and_2_say(name):
    rows = models.find(name).rows
    with_se = [f"block_{i}_se" for i, r in enumerate(rows) if r.se]
    assert [layer.name for layer in se_layers(small(name))] == with_se


def test_minimalistic_twin_has_neither_se_nor_hard_swish_nor_5x5():
    model = small("mobilenet_v3_large_minimalistic")
    assert not se_layers(model)
    assert not any(layer.get_config().get("activation") == "hard_silu" for layer in model.layers)
    assert {getattr(layer, "kernel_size", (1, 1))[0] for layer in model.layers} == {1, 3}


def test_se_none_leaves_none():
    assert complexity(small("mobilenet_v3_small", se=None)).se_params == 0


def test_one_config_stands_where_the_paper_has_se():
    model = small("mobilenet_v3_small", se=MOBILE)
    assert len(se_layers(model)) == sum(row.se for row in models.find("mobilenet_v3_small").rows)
    assert {layer.reduction for layer in se_layers(model)} == {32}


def test_a_list_sets_each_stage_so_the_last_may_go_without():
    rows = models.find("mobilenet_v3_small").rows
    model = small("mobilenet_v3_small", se=["default"] * (len(rows) - 1) + [None])
    assert [layer.name for layer in se_layers(model)][-1] == "block_9_se"


def test_caffes_pooling_drops_what_is_over_at_odd_sizes():
    # An image of 65 is 33 after the stem; Caffe pools 3x3 by 2 to ceil((33 - 3) / 2) + 1 = 16.
    model = small("se_resnet18", pool="end", input_shape=(65, 65, 3))
    pool = model.get_layer("pool1_pool")
    assert model.get_layer("conv1_act").output.shape[1] == 33
    assert pool.output.shape[1] == 16
    x = np.random.default_rng(0).uniform(0, 1, (1, 33, 33, 32)).astype("float32")
    after = keras.Model(model.get_layer("pool1_pad").input, pool.output)(x)
    windows = [[x[:, i : i + 3, j : j + 3].max((1, 2)) for j in range(0, 31, 2)] for i in (0, 30)]
    np.testing.assert_array_equal(after[:, 0], np.stack(windows[0], 1))
    np.testing.assert_array_equal(after[:, -1], np.stack(windows[1], 1))


def test_features_come_one_a_resolution():
    model = small("mobilenet_v3_large", features_only=True, input_shape=(64, 64, 3))
    assert [shape[1] for shape in model.output_shape] == [32, 16, 8, 4, 2]


def test_output_stride_16_dilates_instead_of_striding():
    model = small("mobilenet_v3_small", include_top=False, output_stride=16)
    assert model.output_shape[1:3] == (3, 3)
    dilated = [x.name for x in model.layers if getattr(x, "dilation_rate", (1, 1)) != (1, 1)]
    assert dilated == [f"block_{i}_2_dwconv" for i in (8, 9, 10)]


def test_symmetric_padding_changes_no_size():
    same, symmetric = (small("mobilenet_v3_small", padding=p) for p in ("same", "symmetric"))
    assert [w.shape for w in same.weights] == [w.shape for w in symmetric.weights]
    assert any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in symmetric.layers)


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


def test_networks_do_not_depend_on_each_others_arguments():
    small("mobilenet_v3_small", padding="symmetric", se=None)
    assert models.find("mobilenet_v3_small").settings["padding"] == "same"
    assert se_layers(small("mobilenet_v3_small"))


def test_se_on_the_projected_tensor_is_narrower():
    wide, narrow = (
        complexity(small("mobilenet_v2", se=dataclasses.replace(PAPER, placement=at), width=1.0))
        for at in ("expanded", "projected")
    )
    assert narrow.se_macs < wide.se_macs / 5  # the expansion is 6


@pytest.mark.parametrize(
    "name",
    [
        *("mobilenet_v1", "mobilenet_v3_small"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in models.names()
            if name not in ("mobilenet_v1", "mobilenet_v3_small")
        ),
    ],
)
def test_the_table_of_figures_is_what_counting_gives(name):
    assert models.describe(name) == models.count(name)


def test_a_network_of_ones_own_is_counted_rather_than_looked_up():
    network = models.find("mobilenet_v3_small")
    shorter = dataclasses.replace(network, rows=network.rows[:3])
    assert models.describe(shorter).params < models.describe(network).params


def test_description_is_what_papers_print():
    described = models.describe("mobilenet_v3_small")
    assert described.params == 2_542_856  # keras.applications' and torchvision's
    assert 0.18 < described.se_params_share < 0.19
    assert described.to_dict()["source"].startswith("arXiv:1905.02244")


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


def test_vgg_draws_its_large_kernels_from_the_distribution_it_is_saved_with():
    keras.utils.set_random_seed(0)
    model = models.build("vgg16_bn", input_shape=(96, 96, 3), width=0.5, classes=2)
    dense = model.get_layer("fc1")
    assert isinstance(dense.kernel_initializer, keras.initializers.GlorotUniform)
    kernel = np.asarray(dense.kernel)
    limit = np.sqrt(6 / sum(kernel.shape))  # of variance limit^2 / 3
    assert kernel.shape[0] > 2048 and 0.999 < np.abs(kernel).max() / limit <= 1
    assert np.var(kernel) == pytest.approx(limit**2 / 3, rel=0.01)
    assert not np.array_equal(kernel[:2], kernel[2048:2050])
