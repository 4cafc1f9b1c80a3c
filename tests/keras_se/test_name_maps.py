"""Weights under foreign names compute what they computed at home.

The twins in torch are written from torchvision's and timm's sources, in their names and layouts.
"""

import dataclasses

import keras
import numpy as np
import pytest

from keras_se import PAPER, models, weights

torch = pytest.importorskip("torch", reason="the twins are written in torch")
functional = torch.nn.functional
BIAS = dataclasses.replace(PAPER, use_bias=True)


class State(dict):
    """A state dict that makes up each weight when it is first asked for."""

    def __init__(self, epsilon):
        super().__init__()
        self.rng, self.epsilon = np.random.default_rng(0), epsilon

    def make(self, name, shape, kind="kernel"):
        if name not in self:
            if kind == "kernel":
                value = self.rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)
            elif kind == "variance":
                value = self.rng.uniform(0.0, 0.02, shape)  # small, so that epsilon matters
            else:
                value = self.rng.normal(0, 0.3, shape)
            self[name] = torch.tensor(value, dtype=torch.float32)
        return self[name]

    def conv(self, x, name, out, kernel=1, stride=1, groups=1, bias=False):
        w = self.make(f"{name}.weight", (out, x.shape[1] // groups, kernel, kernel))
        b = self.make(f"{name}.bias", (out,), "bias") if bias else None
        return functional.conv2d(x, w, b, stride, kernel // 2, groups=groups)

    def norm(self, x, name):
        size = (x.shape[1],)
        mean = self.make(f"{name}.running_mean", size, "bias")
        variance = self.make(f"{name}.running_var", size, "variance")
        gamma, beta = (self.make(f"{name}.{role}", size, "bias") for role in ("weight", "bias"))
        self[f"{name}.num_batches_tracked"] = torch.tensor(7)
        return functional.batch_norm(x, mean, variance, 0.1 * gamma, beta, eps=self.epsilon)

    def linear(self, x, name, out):
        w = self.make(f"{name}.weight", (out, x.shape[1]))
        return functional.linear(x, w, self.make(f"{name}.bias", (out,), "bias"))

    def excite(self, x, first, second, width, gate):
        s = x.mean((2, 3), keepdim=True)
        s = self.conv(s, first, width, bias=True).relu()
        return x * gate(self.conv(s, second, x.shape[1], bias=True))

    def arrays(self):
        scaled = {k: 0.1 * v if self.is_gamma(k) else v for k, v in self.items()}
        return {key: value.numpy() for key, value in scaled.items()}

    def is_gamma(self, key):
        layer, _, role = key.rpartition(".")
        return role == "weight" and f"{layer}.running_var" in self


def resnet_twin(state, x, rows, legacy, stride_in, stem):
    head = "layer0." if legacy else ""
    for i, (out, kernel, stride) in enumerate(stem, start=1):
        x = state.conv(x, f"{head}conv{i}", out, kernel, stride)
        x = state.norm(x, f"{head}bn{i}").relu()
    if legacy:
        x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
    else:
        x = functional.max_pool2d(x, 3, 2, padding=1)
    se = "se_module" if legacy else "se"
    for i, row in enumerate(rows, start=1):
        for j in range(row.repeat):
            name, stride, shortcut = f"layer{i}.{j}", 1 if j else row.stride, x
            width = row.width or row.out // 4
            first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
            y = state.conv(x, f"{name}.conv1", row.first_width or width, 1, first)
            y = state.norm(y, f"{name}.bn1").relu()
            y = state.conv(y, f"{name}.conv2", width, 3, second, row.groups)
            y = state.norm(y, f"{name}.bn2").relu()
            y = state.norm(state.conv(y, f"{name}.conv3", row.out), f"{name}.bn3")
            y = state.excite(
                y, f"{name}.{se}.fc1", f"{name}.{se}.fc2", row.out // 16, torch.sigmoid
            )
            if j == 0:
                kernel = row.shortcut_kernel
                shortcut = state.conv(x, f"{name}.downsample.0", row.out, kernel, stride)
                shortcut = state.norm(shortcut, f"{name}.downsample.1")
            x = (y + shortcut).relu()
    return state.linear(x.mean((2, 3)), "last_linear" if legacy else "fc", 5)


def compare(model, state, twin, path, write_safetensors, size=64):
    x = np.random.default_rng(1).normal(0, 1, (2, size, size, 3)).astype("float32")
    twin(torch.tensor(x.transpose(0, 3, 1, 2)))  # makes up the weights
    expected = twin(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
    write_safetensors(path, state.arrays())
    loaded = weights.load(model, path)
    assert not loaded.fresh
    assert not loaded.unused
    np.testing.assert_allclose(model(x), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def small(name, repeats, divide):
    """Return the network with fewer and narrower blocks."""
    network = models.find(name)

    def narrow(value):
        return value and value // divide

    rows = tuple(
        dataclasses.replace(
            row,
            repeat=n,
            out=narrow(row.out),
            width=narrow(row.width),
            first_width=narrow(row.first_width),
            groups=max(1, row.groups // divide),
        )
        for row, n in zip(network.rows, repeats, strict=True)
    )
    return dataclasses.replace(network, rows=rows)


@pytest.mark.parametrize(
    ("name", "legacy", "settings"),
    [
        ("se_resnet50", False, {"stride_in": "3x3", "pool": "symmetric"}),
        ("se_resnet50", True, {"stride_in": "1x1", "pool": "end"}),
        ("se_resnext50_32x4d", True, {"stride_in": "3x3", "pool": "end"}),
        ("senet154", True, {"stride_in": "3x3", "pool": "end"}),
    ],
    ids=["timm seresnet50", "legacy_seresnet50", "legacy_seresnext50_32x4d", "legacy_senet154"],
)
def test_resnets_of_timm(tmp_path, write_safetensors, name, legacy, settings):
    network = small(name, (2, 1, 1, 1), divide=4 if name == "senet154" else 2)
    model = models.build(
        network,
        se=BIAS,
        input_shape=(64, 64, 3),
        classes=5,
        classifier_activation=None,
        preprocessing=False,
        **settings,
    )
    state = State(epsilon=1e-5)

    def twin(x):
        return resnet_twin(state, x, network.rows, legacy, settings["stride_in"], network.stem)

    compare(model, state, twin, tmp_path / "w.safetensors", write_safetensors)


@pytest.mark.parametrize(("setting", "wrong"), [("stride_in", "1x1"), ("pool", "end")])
def test_a_model_that_strides_or_pads_otherwise_is_refused(
    tmp_path, write_safetensors, setting, wrong
):
    network = small("se_resnet50", (1, 1, 1, 1), divide=2)
    settings = {"stride_in": "3x3", "pool": "symmetric"}
    model = models.build(
        network, se=BIAS, input_shape=(32, 32, 3), classes=5, **settings | {setting: wrong}
    )
    state = State(epsilon=1e-5)
    x = torch.zeros((1, 3, 32, 32))
    resnet_twin(state, x, network.rows, False, "3x3", network.stem)
    write_safetensors(tmp_path / "w.safetensors", state.arrays())
    with pytest.raises(ValueError, match=f"{setting}='{settings[setting]}'"):
        weights.load(model, tmp_path / "w.safetensors")


TIMM_STAGES = (1, 2, 3, 2, 3)  # blocks of mobilenetv3_small_100 in each of its stages


def mobilenet_v3_twin(state, x, rows, timm):
    """Run MobileNetV3-Small under torchvision's names, or under timm's."""
    places = [f"{s}.{b}" for s, n in enumerate(TIMM_STAGES) for b in range(n)]
    acts = {"relu": functional.relu, "hard_silu": functional.hardswish}
    stem = ("conv_stem", "bn1") if timm else ("features.0.0", "features.0.1")
    x = functional.hardswish(state.norm(state.conv(x, stem[0], 16, 3, 2), stem[1]))
    for index, row in enumerate(rows):
        act, shortcut = acts[row.activation], x
        expands = row.expanded != x.shape[1]
        if timm:
            name = f"blocks.{places[index]}"
            last = "conv_pwl" if expands else "conv_pw"
            convs = [f"{name}.{part}" for part in ("conv_pw", "conv_dw", last)]
            norms = [f"{name}.bn{i}" for i in ((1, 2, 3) if expands else (0, 1, 2))]
            se = [f"{name}.se.conv_reduce", f"{name}.se.conv_expand"]
        else:
            name, at = f"features.{index + 1}.block", int(expands)
            order = (0, at, at + 1 + row.se)
            convs = [f"{name}.{i}.0" for i in order]
            norms = [f"{name}.{i}.1" for i in order]
            se = [f"{name}.{at + 1}.fc1", f"{name}.{at + 1}.fc2"]
        if expands:
            x = act(state.norm(state.conv(x, convs[0], row.expanded), norms[0]))
        x = state.conv(x, convs[1], row.expanded, row.kernel, row.stride, groups=row.expanded)
        x = act(state.norm(x, norms[1]))
        if row.se:
            width = max(8, (row.expanded // 4 + 4) // 8 * 8)
            x = state.excite(x, *se, width, functional.hardsigmoid)
        x = state.norm(state.conv(x, convs[2], row.out), norms[2])
        if row.stride == 1 and shortcut.shape[1] == row.out:
            x = x + shortcut
    last = len(rows) + 1
    names = [f"features.{last}.0", f"features.{last}.1"]
    if timm:
        names = ["blocks.5.0.conv", "blocks.5.0.bn1"]
    x = functional.hardswish(state.norm(state.conv(x, names[0], 576), names[1]))
    x = x.mean((2, 3), keepdim=True)
    if timm:
        x = functional.hardswish(state.conv(x, "conv_head", 1024, bias=True)).flatten(1)
        return state.linear(x, "classifier", 5)
    x = functional.hardswish(state.linear(x.flatten(1), "classifier.0", 1024))
    return state.linear(x, "classifier.3", 5)


@pytest.mark.parametrize(
    ("timm", "epsilon"), [(False, 1e-3), (True, 1e-5)], ids=["torchvision", "timm"]
)
def test_mobilenet_v3(tmp_path, write_safetensors, timm, epsilon):
    state, rows = State(epsilon), models.find("mobilenet_v3_small").rows

    def build(padding):
        return models.build(
            "mobilenet_v3_small",
            input_shape=(64, 64, 3),
            classes=5,
            classifier_activation=None,
            preprocessing=False,
            padding=padding,
        )

    def twin(x):
        return mobilenet_v3_twin(state, x, rows, timm)

    path = tmp_path / "w.safetensors"
    compare(build("symmetric"), state, twin, path, write_safetensors)
    if not timm:
        with pytest.raises(ValueError, match="padding='symmetric'"):
            weights.load(build("same"), path)


def test_unknown_state_dicts_are_refused(tmp_path, write_safetensors):
    write_safetensors(tmp_path / "w.safetensors", {"stem.weight": np.zeros((1, 1, 1, 1))})
    model = models.build("mobilenet_v3_small", input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match="LAYER/kernel"):
        weights.load(model, tmp_path / "w.safetensors")


APPLICATIONS = keras.applications
SMALL, LARGE = (64, 64, 3), (64, 96, 3)


@pytest.mark.parametrize(
    ("theirs", "arguments", "width"),
    [
        (APPLICATIONS.MobileNet, {"alpha": 0.25}, None),
        (APPLICATIONS.MobileNetV2, {"alpha": 0.35}, None),
        (APPLICATIONS.MobileNetV3Small, {"alpha": 0.75}, 0.75),
        pytest.param(
            *(APPLICATIONS.MobileNetV3Large, {"minimalistic": True, "include_top": False}, None),
            marks=pytest.mark.slow,
        ),
        pytest.param(APPLICATIONS.MobileNetV3Large, {}, None, marks=pytest.mark.slow),
        (APPLICATIONS.EfficientNetB0, {}, None),
        pytest.param(APPLICATIONS.ResNet50, {}, None, marks=pytest.mark.slow),
        pytest.param(APPLICATIONS.VGG16, {}, None, marks=pytest.mark.slow),
        pytest.param(APPLICATIONS.InceptionResNetV2, {}, None, marks=pytest.mark.slow),
    ],
)
def test_keras_applications_compute_the_same(randomize, theirs, arguments, width):
    pixels = "V3" in theirs.__name__ or "Efficient" in theirs.__name__
    least = 75 if theirs is APPLICATIONS.InceptionResNetV2 else 0  # its own least size
    for shape in (SMALL, LARGE):
        shape = (*(max(side, least) for side in shape[:2]), 3)
        source = theirs(weights=None, input_shape=shape, classifier_activation=None, **arguments)
        randomize(source)
        model = weights.from_keras_applications(source, width=width)
        x = np.random.default_rng(0).uniform(-1, 1, (1, *shape)).astype("float32")
        x = 127.5 * (x + 1) if pixels else x
        np.testing.assert_allclose(model(x), source(x), atol=1e-4)


@pytest.mark.parametrize("name", ["MobileNet", "ResNet50"])
def test_pixels_take_the_place_of_preprocess_input(randomize, name):
    theirs = getattr(APPLICATIONS, name)
    module = {"MobileNet": APPLICATIONS.mobilenet, "ResNet50": APPLICATIONS.resnet50}[name]
    options = {"include_top": False} | ({"alpha": 0.25} if name == "MobileNet" else {})
    source = randomize(theirs(weights=None, input_shape=(32, 32, 3), **options))
    model = weights.from_keras_applications(source, pixels=True)
    x = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype("float32")
    expected = source(module.preprocess_input(x.copy()))
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-3)


def test_models_without_a_twin_are_refused():
    source = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="mine")
    with pytest.raises(ValueError, match="mobilenetv2"):
        weights.from_keras_applications(source)
