"""How layers are written into the new model: groups, joining, and the names of outputs."""

import keras

from mobile.lowering import lower
from tests.mobile.lowering.lowered import assert_equal, batch_norm, conv, kinds, model_of

L = keras.layers


def test_a_concatenation_of_more_tensors_than_the_target_takes_is_done_in_parts():
    def body(x):
        return L.Concatenate()([conv(x, i) for i in range(1, 8)])

    # XNNPACK takes 5 inputs: 5, then that with the other 2.
    assert kinds(assert_equal(model_of(body))) == {"Conv2D": 7, "Concatenate": 2}
    assert kinds(assert_equal(model_of(body), "builtin")) == {"Conv2D": 7, "Concatenate": 1}


def test_narrow_groups_are_put_together_as_the_target_likes():
    model = model_of(lambda x: batch_norm(conv(conv(x, 64), 128, 3, groups=32)))  # 2 channels each
    widths = {}
    for target in ("xnnpack", "xnnpack-amx", "builtin"):
        layers = assert_equal(model, target).layers
        grouped = next(x for x in layers if isinstance(x, L.Conv2D) and x.kernel_size == (3, 3))
        widths[target] = (grouped.groups, grouped.kernel.shape[2])
    # 64 channels: 8 groups of 8, one of 64, or 32 of 2 as they were.
    assert widths == {"xnnpack": (8, 8), "xnnpack-amx": (1, 64), "builtin": (32, 2)}


def test_groups_that_do_not_divide_stay_apart():
    lowered = assert_equal(model_of(lambda x: conv(conv(x, 15), 6, 1, groups=3)))
    assert lowered.layers[-1].groups == 3


def test_outputs_are_called_as_before_and_what_had_the_name_by_its_class():
    x = keras.Input((8, 8, 3), name="image")
    y = L.GlobalAveragePooling2D()(conv(x, name="stem"))
    probs = L.Dense(3, activation="softmax", name="probs")(y)
    model = keras.Model(x, [L.Activation("hard_silu", name="more")(y), probs])
    lowered = assert_equal(model)
    assert lowered.output_names == ["more", "probs"]
    assert type(lowered.get_layer("probs_conv2d")) is L.Conv2D
    assert lower(lowered).output_names == ["more", "probs"]


def test_the_output_of_a_sequential_model_is_called_as_its_last_layer():
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(2, 1), L.ReLU(name="last")])
    assert lower(model).output_names == ["last"]


def test_an_output_that_is_an_input_or_another_layers_too_keeps_its_name():
    x = keras.Input((8, 8, 4), name="image")
    first, second = keras.ops.split(conv(x, 8, name="conv"), 2, axis=-1)
    lowered = assert_equal(keras.Model(x, [x, first, second]))
    assert lowered.output_names[0] == "image"
    assert len({layer.name for layer in lowered.layers}) == len(lowered.layers)
