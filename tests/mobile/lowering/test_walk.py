"""What the walk does whatever the rule: what is read twice, padding, inputs, structure."""

import keras

from tests.mobile.lowering.lowered import (
    assert_equal,
    batch_norm,
    conv,
    kinds,
    model_of,
)

L = keras.layers


def test_a_convolution_that_is_read_twice_is_not_computed_twice():
    def body(x):
        y = conv(x, 6, 3)
        return L.Add()([batch_norm(y), batch_norm(y)])

    lowered = assert_equal(model_of(body))
    assert kinds(lowered) == {"Conv2D": 1, "DepthwiseConv2D": 2, "Add": 1}


def test_padding_goes_into_the_convolution_where_same_means_the_same():
    def body(x, padding):
        return conv(L.ZeroPadding2D(padding)(x), 5, 3, strides=2)

    # 12 pixels, stride 2, kernel 3: `same` pads (6 - 1) * 2 + 3 - 12 = 1 pixel, behind.
    assert kinds(assert_equal(model_of(lambda x: body(x, ((0, 1), (0, 1)))))) == {"Conv2D": 1}
    assert "ZeroPadding2D" in kinds(assert_equal(model_of(lambda x: body(x, ((1, 0), (1, 0))))))


def test_a_sequential_model_is_lowered():
    model = keras.Sequential(
        [keras.Input((12, 12, 4)), L.Conv2D(6, 3), L.BatchNormalization(), L.ReLU(), L.Flatten()]
    )
    assert_equal(model)
    built = keras.Sequential([L.Conv2D(6, 3), L.GlobalAveragePooling2D(), L.Dense(3)])
    built.build((None, 12, 12, 4))
    assert_equal(built)


def test_nested_sequential_and_shared_layers_are_flattened():
    inner = keras.Sequential([keras.Input((12, 12, 4)), L.Conv2D(4, 3, padding="same"), L.ReLU()])
    shared = L.Conv2D(4, 1)

    def body(x):
        return shared(inner(shared(inner(x))))

    lowered = assert_equal(model_of(body))
    assert kinds(lowered) == {"Conv2D": 4}
    assert kinds(assert_equal(inner))["Conv2D"] == 1


def test_several_inputs_and_outputs_keep_their_structure():
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    y = L.Add()([conv(a), conv(b)])
    model = keras.Model([a, b], {"sum": y, "top": L.GlobalAveragePooling2D()(y)})
    lowered = assert_equal(model)
    assert list(lowered.output) == ["sum", "top"]
    assert [x.name for x in lowered.inputs] == ["a", "b"]


def test_a_layer_used_twice_beside_one_that_has_the_next_name():
    shared, next_one = L.Conv2D(4, 1, name="dense"), L.Conv2D(4, 1, name="dense_1")
    lowered = assert_equal(model_of(lambda x: next_one(shared(shared(x)))))
    assert [layer.name for layer in lowered.layers[1:]] == ["dense", "dense_2", "dense_1"]


def test_a_folded_convolution_trains_if_one_of_its_layers_did_and_a_constant_never():
    def body(x):
        x = batch_norm(conv(x, name="frozen", trainable=False), name="bn1", trainable=False)
        x = batch_norm(conv(x, name="half", trainable=False), name="bn2")
        x = L.AveragePooling2D(2, name="pool")(x)
        return conv(x, name="free")

    lowered = assert_equal(model_of(body))
    trains = {x.name: bool(x.trainable_weights) for x in lowered.layers if x.weights}
    assert trains == {"frozen": False, "half": True, "pool": False, "free": True}


def test_several_inputs_are_scaled_by_convolutions_and_one_by_its_rescaling():
    x, y = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="numbers")
    scaled = L.Rescaling(1 / 127.5, -1.0, name="scaled")(x)
    normal = L.Normalization(mean=[1.0, 2, 3, 4], variance=[1.0, 4, 9, 16], name="normal")(y)
    pooled = L.GlobalAveragePooling2D()(conv(scaled, name="conv"))
    both = keras.Model([x, y], L.Concatenate()([pooled, L.Dense(2, name="dense")(normal)]))
    lowered = assert_equal(both)
    assert type(lowered.get_layer("scaled")) is type(lowered.get_layer("normal"))
    assert type(lowered.get_layer("scaled")) is L.DepthwiseConv2D
    alone = assert_equal(keras.Model(x, pooled))
    assert type(alone.get_layer("scaled")) is L.Rescaling


def test_an_input_that_is_scaled_for_one_reader_alone_has_no_preprocessing():
    """A Rescaling on the input says how the file is to be fed, whoever else reads it."""
    x = keras.Input((8, 8, 3), name="image")
    gate = L.Activation("sigmoid")(L.Rescaling(1 / 127)(x))
    model = keras.Model(x, [L.Add()([gate, conv(x, 3, 1)]), L.Rescaling(0.5)(x)])
    assert "Rescaling" not in kinds(assert_equal(model))


def test_a_scaled_vector_stays_a_vector():
    x = keras.Input((4,), name="image")
    scaled = L.Rescaling([1.0, 2, 3, 4])(x)
    model = keras.Model(x, [scaled, L.Rescaling(0.5)(x), L.Dense(3)(L.Activation("tanh")(scaled))])
    assert_equal(model)
