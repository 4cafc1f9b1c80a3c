"""MobileNetV2, MnasNet-A1 and EfficientNet."""

import dataclasses

import pytest

from keras_se import PAPER, models
from keras_se.counting import complexity
from tests.keras_se.models.small import small


def test_se_on_the_projected_tensor_is_narrower():
    wide, narrow = (
        complexity(small("mobilenet_v2", se=dataclasses.replace(PAPER, placement=at), width=1.0))
        for at in ("expanded", "projected")
    )
    assert narrow.se_macs < wide.se_macs / 5  # the expansion is 6


@pytest.mark.parametrize("name", ["mnasnet_a1", "efficientnet_b0"])
def test_se_squeezes_to_a_quarter_of_the_blocks_input(name):
    rows = [row for row in models.find(name).rows if row.se is not None]
    assert len(rows) == {"mnasnet_a1": 3, "efficientnet_b0": 7}[name]
    for row in rows:
        for channels in (16, 24, 40, 112):
            expanded = channels * row.expansion
            assert row.se.squeezed_channels(expanded) == channels // 4


def test_efficientnet_drops_more_branches_the_deeper_they_are():
    model = models.build("efficientnet_b0", input_shape=(32, 32, 3), width=0.25)
    rates = {x.name: x.rate for x in model.layers if x.name.endswith("_drop")}
    # 16 blocks of 1, 2, 2, 3, 3, 4, 1 a stage; the first of a stage has no sum.
    blocks = [
        (stage, i) for stage, n in enumerate((1, 2, 2, 3, 3, 4, 1), start=1) for i in range(n)
    ]
    expected = {
        f"block{stage}{'abcd'[i]}_drop": 0.2 * index / 16
        for index, (stage, i) in enumerate(blocks)
        if i
    }
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "width", "stem", "last"),
    [
        ("mobilenet_v2", 0.5, 16, 1280),  # a narrower network keeps its last convolution
        ("mobilenet_v2", 1.4, 48, 1792),  # 44.8 and 1792, rounded to 8
        ("efficientnet_b0", 0.5, 16, 640),
        ("efficientnet_lite0", 0.5, 32, 1280),  # lite keeps both ends
    ],
)
def test_another_width_changes_the_two_ends_as_its_authors_do(name, width, stem, last):
    model = models.build(name, input_shape=(32, 32, 3), width=width, include_top=False)
    assert model.get_layer("stem_conv").filters == stem
    assert model.get_layer("top_conv").filters == last


def test_lite_has_no_se_and_relu6_where_b0_has_swish():
    model = models.build("efficientnet_lite0", input_shape=(32, 32, 3), width=0.25)
    assert not [layer for layer in model.layers if layer.name.endswith("_se")]
    activations = {x.get_config()["activation"] for x in model.layers if x.name.endswith("_act")}
    assert activations == {"relu6"}
