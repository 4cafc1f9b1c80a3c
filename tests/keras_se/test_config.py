"""SEConfig: widths by arithmetic, presets against the code they name, round trips, bad input."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_se
from keras_se import SEConfig


@keras.saving.register_keras_serializable(package="test_config")
def halve(x):
    return x * 0.5


@pytest.mark.parametrize(
    ("channels", "reduction", "width"),
    [(64, 16, 8), (64, 32, 8), (64, 8, 8), (64, 4, 16), (256, 16, 16), (72, 4, 18), (64, 3, 21)],
)
def test_width_is_the_floor_of_the_quotient_but_at_least_min_channels(channels, reduction, width):
    assert SEConfig(reduction=reduction, min_channels=8).squeezed_channels(channels) == width


@pytest.mark.parametrize(
    ("channels", "width"),
    # C / 4: 18 -> 24 because 16 < 0.9 * 18; 22 -> 24; 4 -> 8 the least; 30 -> 32; 36 -> 40.
    [(72, 24), (88, 24), (16, 8), (120, 32), (144, 40), (240, 64), (960, 240)],
)
def test_divisor_rounds_by_the_mobilenet_rule(channels, width):
    assert SEConfig(reduction=4, divisor=8).squeezed_channels(channels) == width


def test_rounding_down_may_be_allowed_as_timm_does():
    # 144 / 16 = 9: to 8 by plain rounding, to 16 where 90 % must remain.
    assert SEConfig(reduction=16, divisor=8, round_limit=0.0).squeezed_channels(144) == 8
    assert SEConfig(reduction=16, divisor=8).squeezed_channels(144) == 16


def test_width_is_never_more_than_the_channels():
    assert SEConfig(reduction=16, min_channels=8).squeezed_channels(4) == 4
    assert SEConfig(reduction=1, divisor=8).squeezed_channels(12) == 12


def test_least_width_is_a_multiple_of_the_divisor_too():
    assert SEConfig(reduction=32, min_channels=10, divisor=8).squeezed_channels(64) == 16


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    channels=st.integers(1, 4096),
    reduction=st.one_of(st.integers(1, 64), st.floats(1, 64)),
    least=st.integers(1, 64),
    divisor=st.sampled_from([1, 2, 4, 8, 16]),
)
def test_width_keeps_its_promises(channels, reduction, least, divisor):
    config = SEConfig(reduction=reduction, min_channels=least, divisor=divisor)
    width = config.squeezed_channels(channels)
    assert 1 <= width <= channels
    if width < channels:
        assert width >= least
        assert width % divisor == 0
        if divisor == 1:
            assert width == max(math.floor(channels / reduction), least)
        else:
            assert width >= 0.9 * channels / reduction


@settings(max_examples=100, deadline=None, derandomize=True)
@given(channels=st.integers(1, 512), expansion=st.integers(1, 8), reduction=st.integers(1, 32))
def test_for_expansion_counts_from_the_input_of_the_block(channels, expansion, reduction):
    config = SEConfig(reduction=reduction, min_channels=1)
    expected = max(1, channels // reduction)
    assert config.for_expansion(expansion).squeezed_channels(channels * expansion) == expected


def test_presets_are_what_design_and_papers_say():
    paper = SEConfig("cse", reduction=16, min_channels=1, use_bias=False, gate="sigmoid")
    server = SEConfig("cse", reduction=8, min_channels=8, use_bias=True, gate="sigmoid")
    mobile = SEConfig("cse", reduction=32, min_channels=8, divisor=8, gate="hard_sigmoid")
    assert (paper, server, mobile) == (keras_se.PAPER, keras_se.SERVER, keras_se.MOBILE)
    assert keras_se.SqueezeExcite().get_config()["min_channels"] == SEConfig().min_channels == 8
    assert set(map(type, keras_se.PRESETS.values())) == {SEConfig}


def test_mobilenet_v3_preset_has_the_widths_of_keras_applications():
    real = keras.applications.MobileNetV3Small(weights=None, input_shape=(32, 32, 3), classes=2)
    convs = [layer for layer in real.layers if layer.name.endswith("squeeze_excite_conv")]
    assert len(convs) == 9  # rows with SE in table 2 of arXiv:1905.02244
    for conv in convs:
        width = keras_se.MOBILENET_V3.squeezed_channels(conv.input.shape[-1])
        assert conv.filters == width


def test_efficientnet_preset_has_the_widths_of_keras_applications():
    real = keras.applications.EfficientNetB0(weights=None, input_shape=(32, 32, 3), classes=2)
    convs = [layer for layer in real.layers if layer.name.endswith("se_reduce")]
    assert len(convs) == 16  # 1 + 2 + 2 + 3 + 3 + 4 + 1 blocks, table 1 of arXiv:1905.11946
    for index, conv in enumerate(convs):
        config = keras_se.EFFICIENTNET.for_expansion(6 if index else 1)
        assert conv.filters == config.squeezed_channels(conv.input.shape[-1])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(channels=st.integers(8, 2048))
def test_timm_preset_has_the_width_of_its_make_divisible(channels):
    # timm/layers/helpers.py: max(8, int(v + 4) // 8 * 8), and no 90 % rule with round_limit 0.
    expected = max(8, int(channels / 16 + 4) // 8 * 8)
    assert keras_se.TIMM.squeezed_channels(channels) == expected


@settings(max_examples=100, deadline=None, derandomize=True)
@given(channels=st.integers(1, 128).map(lambda n: 8 * n))
def test_torchvision_widths(channels):
    # torchvision/models/mobilenetv3.py: _make_divisible(expanded_channels // 4, 8);
    # torchvision/models/efficientnet.py: max(1, input_channels // 4), for any expansion.
    value = channels // 4
    expected = max(8, int(value + 4) // 8 * 8)
    expected += 8 if expected < 0.9 * value else 0
    assert keras_se.MOBILENET_V3.squeezed_channels(channels) == expected
    efficientnet = keras_se.EFFICIENTNET.for_expansion(6).squeezed_channels(6 * channels)
    assert efficientnet == keras_se.TORCHVISION.squeezed_channels(channels) == max(1, value)


@pytest.mark.parametrize("name", keras_se.PRESETS)
def test_presets_go_to_json_and_back(name):
    preset = keras_se.PRESETS[name]
    assert SEConfig.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset


@pytest.mark.parametrize("function", [halve, keras.activations.relu6, keras.ops.tanh])
def test_functions_go_to_json_and_back(function):
    config = SEConfig(gate=function, activation=function)
    again = SEConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    x = keras.ops.convert_to_tensor([-8.0, -0.5, 0.0, 3.0, 9.0])
    assert keras.ops.convert_to_numpy(again.gate(x) - function(x)).tolist() == [0] * 5


def test_config_is_frozen_hashable_and_comparable():
    assert len({SEConfig(), SEConfig(), keras_se.PAPER}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        SEConfig().reduction = 4


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        ("cse", keras_se.SqueezeExcite),
        ("sse", keras_se.SpatialSqueezeExcite),
        ("scse", keras_se.ConcurrentSqueezeExcite),
        ("static", keras_se.StaticSqueezeExcite),
    ],
)
def test_layer_takes_every_field_that_its_class_knows(kind, cls):
    config = SEConfig(
        kind,
        reduction=4,
        min_channels=2,
        divisor=2,
        pool="max",
        activation="silu",
        gate="tanh",
        use_bias=False,
        aggregate="mul",
        round_limit=0.5,
    )
    layer = config.layer(name="se", kernel_initializer="ones", data_format="channels_last")
    assert type(layer) is cls
    assert layer.name == "se"
    assert layer.kernel_initializer == "ones"
    settings_ = layer.get_config()
    assert {name: settings_[name] for name in cls.fields} == {
        name: getattr(config, name) for name in cls.fields
    }


def test_every_kind_has_its_layer_whichever_module_is_imported_first():
    code = "from keras_se.config import KINDS, SEConfig; [SEConfig(kind).layer() for kind in KINDS]"
    environment = os.environ | {"PYTHONPATH": str(Path(keras_se.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, timeout=120, check=True)


BAD_VALUES = [
    ({"kind": "ese"}, "Did you mean .*'sse'.*Choose from 'cse', 'sse', 'scse', 'static'"),
    ({"kind": 16}, "For a reduction, write SEConfig\\(reduction=16\\)"),
    ({"reduction": 0}, "pass reduction=4"),
    ({"reduction": 0.5}, "pass reduction=4"),
    ({"reduction": float("nan")}, "pass reduction=4"),
    ({"reduction": float("inf")}, "pass reduction=4"),
    ({"min_channels": -1}, "For no least width, pass 0"),
    ({"divisor": 0}, "pass divisor=1"),
    ({"pool": "mean"}, "Choose from 'avg', 'max', 'avg\\+max', None"),
    ({"activation": "reluu"}, "Did you mean 'relu'"),
    ({"activation": "foo"}, "Choose from .*'relu', .*'silu'"),
    ({"gate": "hardsigmoid"}, "Choose from 'sigmoid', 'hard_sigmoid', 'tanh', 'relu'"),
    ({"aggregate": "sum"}, "Choose from 'add', 'max', 'mul', 'concat'"),
    (
        {"placement": "before"},
        "Choose from 'standard', 'expanded', 'projected', 'pre', 'post', 'identity'",
    ),
    ({"round_limit": 1.5}, "pass round_limit=0"),
]
BAD_KINDS = [
    ({"reduction": "16"}, "pass reduction=4"),
    ({"reduction": True}, "pass reduction=4"),
    ({"min_channels": 8.0}, "pass 0"),
    ({"divisor": None}, "pass divisor=1"),
    ({"activation": 3}, "keras.saving.register_keras_serializable"),
    ({"activation": None}, "Pass a name such as 'relu'"),
    ({"gate": lambda x: x}, "keras.saving.register_keras_serializable"),
    ({"use_bias": 1}, "Pass use_bias=True or use_bias=False"),
    ({"round_limit": "0.9"}, "pass round_limit=0"),
]


@pytest.mark.parametrize(("arguments", "advice"), BAD_VALUES)
def test_bad_value_says_what_to_do(arguments, advice):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"(?s)`{name}` must.*Received: .*{name}=.*{advice}"):
        SEConfig(**arguments)


@pytest.mark.parametrize(("arguments", "advice"), BAD_KINDS)
def test_bad_kind_says_what_to_do(arguments, advice):
    (name,) = arguments
    with pytest.raises(TypeError, match=f"(?s)`{name}` must.*Received: .*{name}=.*{advice}"):
        SEConfig(**arguments)


def test_a_typo_gets_the_nearest_of_many_names_not_all_of_them():
    with pytest.raises(ValueError) as caught:
        SEConfig(activation="Sillu")
    assert "Did you mean 'silu'" in str(caught.value)
    assert "'tanh'" not in str(caught.value)


def test_every_argument_but_the_kind_is_named():
    with pytest.raises(TypeError, match="positional argument"):
        SEConfig("cse", 16)


@pytest.mark.parametrize("channels", [0, -8])
def test_channels_to_squeeze_are_at_least_one(channels):
    with pytest.raises(ValueError, match="`channels` must be at least 1"):
        SEConfig().squeezed_channels(channels)


def test_reduction_above_the_channels_needs_a_least_width():
    with pytest.raises(ValueError, match="Pass a reduction of at most 8, or min_channels=1"):
        SEConfig(reduction=16, min_channels=0).squeezed_channels(8)
    assert SEConfig(reduction=16, min_channels=1).squeezed_channels(8) == 1


def test_unknown_field_lists_the_known():
    with pytest.raises(ValueError, match=r"`field` must.*'se_ratio'.*Choose from 'kind', 'reduc"):
        SEConfig.from_dict({"se_ratio": 4})
