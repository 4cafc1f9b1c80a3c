"""State dicts compute what they computed at home.

The twins are written from torchvision's and timm's sources, in their names and layouts, on JAX.
Those networks themselves are in test_timm_torchvision.py.
"""

import dataclasses

import numpy as np
import pytest
from jax import lax, nn

from keras_se import MOBILENET_V3, PAPER, models, weights

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
            self[name] = value.astype("float32")
        return self[name]

    def conv(self, x, name, out, kernel=1, stride=1, groups=1, bias=False):
        w = self.make(f"{name}.weight", (out, x.shape[1] // groups, kernel, kernel))
        b = self.make(f"{name}.bias", (out,), "bias") if bias else None
        pad = [(kernel // 2, kernel // 2)] * 2
        y = lax.conv_general_dilated(x, w, (stride, stride), pad, feature_group_count=groups)
        return y if b is None else y + b[:, None, None]

    def norm(self, x, name):
        size = (x.shape[1],)
        mean = self.make(f"{name}.running_mean", size, "bias")
        variance = self.make(f"{name}.running_var", size, "variance")
        gamma, beta = (self.make(f"{name}.{role}", size, "bias") for role in ("weight", "bias"))
        self[f"{name}.num_batches_tracked"] = np.array(7)
        factor = 0.1 * gamma / np.sqrt(variance + self.epsilon)
        return x * factor[:, None, None] + (beta - mean * factor)[:, None, None]

    def linear(self, x, name, out):
        w = self.make(f"{name}.weight", (out, x.shape[1]))
        return x @ w.T + self.make(f"{name}.bias", (out,), "bias")

    def excite(self, x, first, second, width, gate):
        s = x.mean((2, 3), keepdims=True)
        s = nn.relu(self.conv(s, first, width, bias=True))
        return x * gate(self.conv(s, second, x.shape[1], bias=True))

    def arrays(self):
        return {k: 0.1 * v if self.is_gamma(k) else v for k, v in self.items()}

    def is_gamma(self, key):
        layer, _, role = key.rpartition(".")
        return role == "weight" and f"{layer}.running_var" in self


def max_pool(x, ceil_mode):
    """Pool 3x3 by 2: with one more pixel on each side, or at the end as Caffe does."""
    sides = (0, 1) if ceil_mode else (1, 1)
    pads = ((0, 0), (0, 0), sides, sides)
    return lax.reduce_window(x, -np.inf, lax.max, (1, 1, 3, 3), (1, 1, 2, 2), pads)


def resnet_twin(state, x, rows, legacy, stride_in, stem):
    head = "layer0." if legacy else ""
    for i, (out, kernel, stride) in enumerate(stem, start=1):
        x = state.conv(x, f"{head}conv{i}", out, kernel, stride)
        x = nn.relu(state.norm(x, f"{head}bn{i}"))
    x = max_pool(x, ceil_mode=legacy)
    se = "se_module" if legacy else "se"
    for i, row in enumerate(rows, start=1):
        for j in range(row.repeat):
            name, stride, shortcut = f"layer{i}.{j}", 1 if j else row.stride, x
            width = row.width or row.out // 4
            first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
            y = state.conv(x, f"{name}.conv1", row.first_width or width, 1, first)
            y = nn.relu(state.norm(y, f"{name}.bn1"))
            y = state.conv(y, f"{name}.conv2", width, 3, second, row.groups)
            y = nn.relu(state.norm(y, f"{name}.bn2"))
            y = state.norm(state.conv(y, f"{name}.conv3", row.out), f"{name}.bn3")
            y = state.excite(y, f"{name}.{se}.fc1", f"{name}.{se}.fc2", row.out // 16, nn.sigmoid)
            if j == 0:
                kernel = row.shortcut_kernel
                shortcut = state.conv(x, f"{name}.downsample.0", row.out, kernel, stride)
                shortcut = state.norm(shortcut, f"{name}.downsample.1")
            x = nn.relu(y + shortcut)
    return state.linear(x.mean((2, 3)), "last_linear" if legacy else "fc", 5)


def compare(model, state, twin, path, write_safetensors, size=64, source=None):
    x = np.random.default_rng(1).normal(0, 1, (2, size, size, 3)).astype("float32")
    expected = twin(x.transpose(0, 3, 1, 2))  # makes up the weights
    write_safetensors(path, state.arrays())
    loaded = weights.load(model, path, source=source)
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
    x = np.zeros((1, 3, 32, 32), "float32")
    resnet_twin(state, x, network.rows, False, "3x3", network.stem)
    write_safetensors(tmp_path / "w.safetensors", state.arrays())
    with pytest.raises(ValueError, match=f"{setting}='{settings[setting]}'"):
        weights.load(model, tmp_path / "w.safetensors")


TIMM_STAGES = (1, 2, 3, 2, 3)  # blocks of mobilenetv3_small_100 in each of its stages


def mobilenet_v3_twin(state, x, rows, timm):
    """Run MobileNetV3-Small under torchvision's names, or under timm's."""
    places = [f"{s}.{b}" for s, n in enumerate(TIMM_STAGES) for b in range(n)]
    acts = {"relu": nn.relu, "hard_silu": nn.hard_swish}
    stem = ("conv_stem", "bn1") if timm else ("features.0.0", "features.0.1")
    x = nn.hard_swish(state.norm(state.conv(x, stem[0], 16, 3, 2), stem[1]))
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
            x = state.excite(x, *se, width, nn.hard_sigmoid)
        x = state.norm(state.conv(x, convs[2], row.out), norms[2])
        if row.stride == 1 and shortcut.shape[1] == row.out:
            x = x + shortcut
    last = len(rows) + 1
    names = [f"features.{last}.0", f"features.{last}.1"]
    if timm:
        names = ["blocks.5.0.conv", "blocks.5.0.bn1"]
    x = nn.hard_swish(state.norm(state.conv(x, names[0], 576), names[1]))
    x = x.mean((2, 3), keepdims=True)
    if timm:
        x = nn.hard_swish(state.conv(x, "conv_head", 1024, bias=True))[:, :, 0, 0]
        return state.linear(x, "classifier", 5)
    x = nn.hard_swish(state.linear(x[:, :, 0, 0], "classifier.0", 1024))
    return state.linear(x, "classifier.3", 5)


def build_v3(padding, **settings):
    return models.build(
        "mobilenet_v3_small",
        input_shape=(64, 64, 3),
        classes=5,
        classifier_activation=None,
        preprocessing=False,
        padding=padding,
        **settings,
    )


@pytest.mark.parametrize(
    ("source", "epsilon"),
    [("mobilenet_v3_small", 1e-3), ("mobilenetv3_small_100", 1e-5)],
    ids=["torchvision", "timm"],
)
def test_mobilenet_v3(tmp_path, write_safetensors, source, epsilon):
    state, rows = State(epsilon), models.find("mobilenet_v3_small").rows
    timm = "mobilenetv3" in source

    def twin(x):
        return mobilenet_v3_twin(state, x, rows, timm)

    path = tmp_path / "w.safetensors"
    compare(build_v3("symmetric"), state, twin, path, write_safetensors, source=source)
    with pytest.raises(ValueError, match="padding='symmetric'"):
        weights.load(build_v3("same"), path, source=source)
    if not timm:
        weights.load(build_v3("symmetric"), path)
        return
    for padding in ("same", "symmetric"):  # both fit, and compute different things
        with pytest.raises(ValueError, match=r"`source` must say which .* pad symmetrically"):
            weights.load(build_v3(padding), path)
    weights.load(build_v3("same"), path, source=f"tf_{source}")
    with pytest.raises(ValueError, match="padding='same'"):
        weights.load(build_v3("symmetric"), path, source=f"tf_{source}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gate": "sigmoid"}, "gate='sigmoid'"),
        ({"activation": "silu"}, "activation='silu'"),
        ({"pool": "max"}, "pool='max'"),
    ],
)
def test_se_that_computes_something_else_is_refused_but_for_transfer(
    tmp_path, write_safetensors, change, said
):
    state, rows = State(1e-3), models.find("mobilenet_v3_small").rows
    mobilenet_v3_twin(state, np.zeros((1, 3, 64, 64), "float32"), rows, timm=False)
    path = tmp_path / "w.safetensors"
    write_safetensors(path, state.arrays())
    model = build_v3("symmetric", se=dataclasses.replace(MOBILENET_V3, **change))
    with pytest.raises(ValueError, match=f"Received: .*{said}"):
        weights.load(model, path)
    assert not weights.load(model, path, transfer=True).fresh


def test_se_that_stands_elsewhere_is_refused(tmp_path, write_safetensors):
    network = small("se_resnet50", (1, 1, 1, 1), divide=2)
    state = State(epsilon=1e-5)
    resnet_twin(
        state, np.zeros((1, 3, 32, 32), "float32"), network.rows, False, "3x3", network.stem
    )
    write_safetensors(tmp_path / "w.safetensors", state.arrays())
    after_the_sum = dataclasses.replace(BIAS, placement="post")  # of as many channels
    settings = {"input_shape": (32, 32, 3), "classes": 5, "stride_in": "3x3"}
    model = models.build(network, after_the_sum, **settings)
    with pytest.raises(ValueError, match="behind 'conv2_block1_out'"):
        weights.load(model, tmp_path / "w.safetensors")


def plain_resnet(basic=False, legacy=False, se=False):
    """Return the names that tell ResNets apart, with arrays of the smallest shapes."""
    names = ["layer0.conv1" if legacy else "conv1", "layer1.0.conv1", "layer1.0.conv2"]
    names += [] if basic else ["layer1.0.conv3"]
    names += ["layer1.0.se.fc1"] if se else []
    return {f"{name}.weight": np.zeros((1, 1, 1, 1), "float32") for name in names}


@pytest.mark.parametrize(
    ("state", "source", "advice"),
    [
        (plain_resnet(basic=True, legacy=True), None, "weights of timm's seresnet18 or seresnet34"),
        (plain_resnet(basic=True), None, "smooth before they stride"),
        (plain_resnet(), None, "smooth before they stride"),
        (plain_resnet(), "resnetblur50", "has an equal here.*'resnetblur50' itself"),
        (plain_resnet(), "resnet51", "Did you mean 'resnet50'"),
        (plain_resnet(), "mobilenetv3_small_100", "whose entries have other names"),
    ],
)
def test_sources_that_cannot_be_told_or_have_no_equal_are_refused(
    tmp_path, write_safetensors, state, source, advice
):
    write_safetensors(tmp_path / "w.safetensors", state)
    model = models.build("resnet18", input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match=advice):
        weights.load(model, tmp_path / "w.safetensors", source=source)


def test_a_source_for_names_of_keras_is_refused(tmp_path):
    np.savez(tmp_path / "w.npz", **{"conv_conv/kernel": np.zeros(3)})
    with pytest.raises(ValueError, match="`source` is for state dicts"):
        weights.load(build_v3("same"), tmp_path / "w.npz", source="resnet50")


def test_unknown_state_dicts_are_refused(tmp_path, write_safetensors):
    write_safetensors(tmp_path / "w.safetensors", {"stem.weight": np.zeros((1, 1, 1, 1))})
    model = models.build("mobilenet_v3_small", input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match="LAYER/kernel"):
        weights.load(model, tmp_path / "w.safetensors")
