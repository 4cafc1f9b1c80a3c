"""Vectors, which lowering holds as images of one pixel or as the image that was flattened."""

import keras
import numpy as np
import pytest

from mobile.lowering import lower
from tests.mobile.lowering.lowered import assert_equal, conv, kinds, model_of

L = keras.layers
ops = keras.ops
TARGETS = ["xnnpack", "ethos-u"]  # the second takes maxima and no lone ReLU
CHANNELS = np.array([1.0, -2.0, 3.0, 0.5], "float32")


def dense(x, units=4, **options):
    return L.Dense(units, bias_initializer="random_normal", **options)(x)


# Ways to a vector of four elements: an input, a convolution of one pixel, four pixels.
SOURCES = {
    "input": ((4,), lambda x: x),
    "dense": ((4,), dense),
    "pooled": ((4, 4, 3), lambda x: L.GlobalAveragePooling2D()(conv(x, 4))),
    "flattened": ((2, 2, 3), lambda x: L.Flatten()(conv(x, 1))),
    "scaled": ((4,), lambda x: L.Softmax()(x) * CHANNELS),
}
BODIES = {
    "LeakyReLU": L.LeakyReLU(0.3),
    "PReLU": lambda x: L.PReLU("random_normal")(x) + 1.0,
    "mean": lambda x: x * ops.mean(x, axis=-1, keepdims=True),
    "Softmax": L.Softmax(),
    "slice": lambda x: x[:, 1:3],
    "constant": lambda x: x * CHANNELS,
    "Concatenate": lambda x: L.Concatenate()([x, dense(x, 3)]),
    "one number": lambda x: L.Multiply()([dense(x, 1), x]),
}
BODIES |= {
    f"{kind.__name__}, {order}": lambda x, kind=kind, at=at: kind()([x, dense(x)][::at])
    for kind in (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)
    for order, at in (("left", 1), ("right", -1))
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("source", SOURCES)
def test_a_vector_is_lowered_to_what_it_stands_for(source, body, target):
    shape, vector = SOURCES[source]
    assert_equal(model_of(lambda x: BODIES[body](vector(x)), shape), target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", [L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum])
def test_a_vector_meets_an_image_in_either_order(kind, target):
    def body(x, at):
        return kind()([L.GlobalAveragePooling2D()(conv(x)), conv(x)][::at])

    for at in (1, -1):
        assert_equal(model_of(lambda x, at=at: body(x, at)), target)


@pytest.mark.parametrize("shape", [(4, 4, 1), (2, 2, 4)])
def test_a_flattened_image_and_a_vector_are_joined_element_by_element(shape):
    def body(x):
        flat = L.Flatten()(x)
        return L.Add()([flat, dense(flat, 16)]), L.Multiply()([dense(flat, 16), flat])

    assert_equal(model_of(body, shape))
    other = L.Reshape((2, 8, 1))
    assert_equal(model_of(lambda x: L.Add()([L.Flatten()(other(x)), L.Flatten()(x)]), shape))


@pytest.mark.parametrize(
    "body",
    [
        lambda image, vector: L.Multiply()([conv(image), L.Rescaling(0.5)(vector)]),
        lambda image, vector: L.Multiply()([vector, conv(image)]),
        lambda image, vector: [L.Softmax()(L.Rescaling(2.0)(vector)), conv(image)],
        lambda image, vector: [L.Rescaling([1, 2, 3, 4, 5, 6])(vector)[:, 1:3], conv(image)],
        lambda image, vector: [ops.expand_dims(L.Rescaling(2.0, 1.0)(vector), 1), conv(image)],
        lambda image, vector: L.Add()([vector, dense(L.Flatten()(image), 6)]),
    ],
)
def test_a_second_input_that_is_a_vector(body):
    image, vector = keras.Input((4, 4, 3), name="image"), keras.Input((6,), name="vector")
    assert_equal(keras.Model([image, vector], body(image, vector)))


def test_a_vector_that_is_an_image_of_one_pixel_already_is_not_reshaped_twice():
    image, vector = keras.Input((4, 4, 3), name="image"), keras.Input((6,), name="vector")
    y = dense(L.Rescaling([1, 2, 3, 4, 5, 6])(vector))
    found = kinds(assert_equal(keras.Model([image, vector], [y, conv(image)])))
    assert found["Reshape"] == 2  # in, and out


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (lambda x: L.MaxPooling2D()(x) * CHANNELS, "a constant of 4 channels for a tensor of 1"),
        (L.Rescaling(CHANNELS), "a constant of 4 channels for a tensor of 1"),
        (lambda x: L.Reshape((16, 4))(x) * CHANNELS, r"shape \(None, 16, 4\) at 'reshape"),
        (L.ReLU(0.0), "a maximum of 0"),
    ],
)
def test_what_has_no_equal_is_told_by_its_layer(body, said):
    with pytest.raises(ValueError, match=said):
        lower(model_of(body, (8, 8, 1)))


def test_operations_on_tensors_of_unequal_rank_are_refused():
    image, vector = keras.Input((8, 8, 4), batch_size=8), keras.Input((4,), batch_size=8)
    with pytest.raises(ValueError, match=r"inputs of shapes \(8, 8, 8, 4\) and \(8, 4\)"):
        lower(keras.Model([image, vector], ops.multiply(image, vector)))
