import keras
import pytest

from mobile.lowering import lower
from mobile.quantization import range_plan


def _model(build, shape=(8, 8, 4)):
    image = keras.Input(shape, name="image")
    return keras.Model(image, build(image))


def test_gates_have_the_range_of_their_function(lowered):
    points = range_plan.read_plan(lowered).points
    assert points["sigmoid"].fixed == points["softmax"].fixed == (0.0, 255 / 256)
    assert points["gate"].fixed == points["excite"].fixed == points["late"].fixed == (0.0, 6.0)


def test_nothing_stands_inside_a_fused_operator(lowered):
    assert "shift" not in range_plan.read_plan(lowered).points  # ADD takes the RELU6 in


def test_a_sum_read_twice_keeps_its_range():
    layers = keras.layers

    def build(x):
        total = layers.Add(name="total")([x, layers.Conv2D(4, 1)(x)])
        return layers.Add()([total, layers.ReLU()(total)])

    assert "total" in range_plan.read_plan(_model(build)).points


def test_pooling_padding_and_reshaping_keep_their_inputs_range(lowered):
    plan = range_plan.read_plan(lowered)
    assert not {"pool", "pad", "flat"} & set(plan.points)
    assert plan.reads["late"] == ("concat",)  # through the padding


def test_a_concatenation_and_its_inputs_are_one_range(lowered):
    points = range_plan.read_plan(lowered).points
    assert points["branch"].group == points["swish"].group == points["concat"].group
    assert points["sum"].group == "sum"


def test_a_sigmoid_into_a_concatenation_is_refused():
    layers = keras.layers
    model = _model(
        lambda x: layers.Concatenate(name="both")([x, layers.Activation("sigmoid", name="gate")(x)])
    )
    with pytest.raises(ValueError, match="'gate' into 'both'"):
        range_plan.read_plan(model)


def test_an_unknown_layer_is_named():
    with pytest.raises(ValueError, match=r"'odd' of class Dropout.*mobile\.lower"):
        range_plan.read_plan(_model(keras.layers.Dropout(0.5, name="odd")))


def test_a_layer_used_twice_is_named():
    shared = keras.layers.Conv2D(4, 1, name="shared")
    with pytest.raises(ValueError, match="'shared'"):
        range_plan.read_plan(_model(lambda x: shared(shared(x))))


@pytest.mark.parametrize(
    "low, high", [(-1, 1), (-2.117904, 2.64), (0, 255), (-128 / 127, 1), (-1, 0)]
)
def test_an_input_range_has_a_whole_zero_point_and_holds_all(low, high):
    start, end = range_plan.input_range(low, high)
    zero = -start / ((end - start) / 255)
    assert abs(zero - round(zero)) < 1e-9
    assert start <= low and high <= end


def test_the_input_range_of_plus_minus_one():
    # 255 * 1 / 2 = 127.5 rounds to 128 levels below zero; the step is then max(1/128, 1/127).
    assert range_plan.input_range(-1, 1) == pytest.approx((-128 / 127, 1.0))


def test_groups_get_the_hull_of_their_members(lowered):
    plan = range_plan.read_plan(lowered)
    found = dict.fromkeys(plan.free, (-1.0, 1.0)) | {"branch": (0.0, 5.0), "swish": (-0.25, 2.0)}
    ranges = range_plan.complete(plan, found)
    assert ranges["branch"] == ranges["swish"] == ranges["concat"] == (-1.0, 5.0)


def test_missing_ranges_are_named(lowered):
    with pytest.raises(ValueError, match="stem"):
        range_plan.complete(range_plan.read_plan(lowered), {})


def test_unknown_ranges_are_named(lowered):
    plan = range_plan.read_plan(lowered)
    found = dict.fromkeys(plan.free, (-1.0, 1.0)) | {"stm": (0.0, 1.0)}
    with pytest.raises(ValueError, match=r"\['stm'\] \(1 in all\). Known are rescaling, stem"):
        range_plan.complete(plan, found)


def test_the_plan_of_a_quantised_model_is_that_of_the_lowered(lowered, quantized):
    assert range_plan.read_plan(quantized) == range_plan.read_plan(lower(lowered))
    names = range_plan.lowered_names(quantized)
    assert names["softmax"] == names["softmax_exact"] == "softmax"
    assert names["stem_range"] == names["stem"] == "stem" and names["pad"] == "pad"
