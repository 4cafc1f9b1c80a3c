"""ShuffleNet, table 1 for three groups."""

import pytest

from keras_se import models


@pytest.mark.parametrize("width", [1.0, 0.5])
def test_stages_have_the_units_channels_and_sizes_of_table_1(width):
    model = models.build("shufflenet_v1", input_shape=(64, 64, 3), width=width, features_only=True)
    shapes = [shape[1:] for shape in model.output_shape]
    channels = [int(n * width) for n in (240, 480, 960)]
    assert shapes[0] == (32, 32, 24 if width == 1 else 12)
    assert shapes[1:] == [(8, 8, channels[0]), (4, 4, channels[1]), (2, 2, channels[2])]
    units = [layer.name for layer in model.layers if layer.name.endswith("_2_dwconv")]
    expected = [(stage, i) for stage, n in ((2, 4), (3, 8), (4, 4)) for i in range(1, n + 1)]
    assert units == [f"stage{stage}_unit{i}_2_dwconv" for stage, i in expected]


def test_all_1x1_convolutions_but_the_first_are_in_three_groups():
    model = models.build("shufflenet_v1", input_shape=(64, 64, 3), width=0.5)
    convs = {x.name: x.groups for x in model.layers if x.name.endswith(("_1_conv", "_3_conv"))}
    assert len(convs) == 2 * (4 + 8 + 4)
    assert [name for name, groups in convs.items() if groups == 1] == ["stage2_unit1_1_conv"]
    assert set(convs.values()) == {1, 3}
