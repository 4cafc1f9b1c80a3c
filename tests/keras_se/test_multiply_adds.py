"""The multiply-adds of one call, by arithmetic written out here."""

import keras
import pytest

from keras_se import ChannelScale, SEConfig
from keras_se.counting import complexity
from tests.keras_se.counted import model_of


@pytest.mark.parametrize(
    ("layer", "params", "macs"),
    [
        (keras.layers.Conv2D(6, 3), 3 * 3 * 4 * 6 + 6, 6 * 6 * (3 * 3 * 4 * 6)),
        (keras.layers.Conv2D(6, 3, 2, "same"), 3 * 3 * 4 * 6 + 6, 4 * 4 * (3 * 3 * 4 * 6)),
        (keras.layers.Conv2D(8, 1, groups=2), 2 * 8 + 8, 8 * 8 * (2 * 8)),
        (keras.layers.DepthwiseConv2D(3, padding="same"), 9 * 4 + 4, 8 * 8 * (9 * 4)),
        (keras.layers.Conv2DTranspose(2, 2, 2), 4 * 4 * 2 + 2, 8 * 8 * (4 * 4 * 2)),
        (
            keras.layers.SeparableConv2D(6, 3, padding="same"),
            9 * 4 + 4 * 6 + 6,
            8 * 8 * (9 * 4 + 4 * 6),
        ),
        (keras.layers.Dense(3), 4 * 3 + 3, 8 * 8 * 4 * 3),
        (keras.layers.MaxPooling2D(), 0, 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_layer_counts_by_arithmetic(layer, params, macs):
    counted = complexity(model_of(layer))
    assert (counted.trainable_params, counted.macs) == (params, macs)


def test_cse_counts_its_convolutions_once_and_one_mac_a_rescaled_element():
    counted = complexity(model_of(SEConfig(reduction=2, min_channels=1).layer()))
    assert counted.se_params == counted.params == (4 * 2 + 2) + (2 * 4 + 4)
    assert counted.se_macs == counted.macs == 4 * 2 + 2 * 4 + 8 * 8 * 4


def test_sse_counts_a_dot_product_and_a_multiplication_at_each_position():
    counted = complexity(model_of(SEConfig(kind="sse").layer()))
    assert counted.se_macs == 8 * 8 * 4 + 8 * 8 * 4


def test_scse_counts_both_branches():
    counted = complexity(model_of(SEConfig(kind="scse", reduction=2, min_channels=1).layer()))
    assert counted.se_params == (4 * 2 + 2) + (2 * 4 + 4) + (4 + 1)
    assert counted.se_macs == (4 * 2 + 2 * 4 + 8 * 8 * 4) + 2 * 8 * 8 * 4


def test_static_se_has_parameters_and_costs_nothing_at_inference():
    counted = complexity(model_of(SEConfig("static", reduction=2, min_channels=1).layer()))
    assert counted.se_params == counted.params == 4 + (4 * 2 + 2) + (2 * 4 + 4)
    assert (counted.se_macs, counted.macs) == (0, 0)
    scaled = complexity(model_of(ChannelScale()))
    assert (scaled.params, scaled.macs) == (4, 0)


SEQUENCE = (7, 3)  # steps, channels


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (
            keras.layers.SeparableConv1D(6, 3, padding="same"),
            SEQUENCE,
            7 * (3 * 3 + 3 * 6),
        ),
        (keras.layers.Conv1DTranspose(2, 4, 2), SEQUENCE, 7 * (4 * 3 * 2)),
        (keras.layers.Conv3DTranspose(2, 2, 2), (3, 3, 3, 5), 27 * (8 * 5 * 2)),
        (keras.layers.LSTM(5), SEQUENCE, 7 * (3 * 20 + 5 * 20)),
        (keras.layers.GRU(5, return_sequences=True), SEQUENCE, 7 * (3 * 15 + 5 * 15)),
        (keras.layers.SimpleRNN(5), SEQUENCE, 7 * (3 * 5 + 5 * 5)),
        (
            keras.layers.Bidirectional(keras.layers.LSTM(5)),
            SEQUENCE,
            2 * 7 * (3 * 20 + 5 * 20),
        ),
        (
            keras.layers.ConvLSTM2D(2, 3, padding="same"),
            (4, 6, 6, 3),
            4 * 36 * (9 * 3 * 8 + 9 * 2 * 8),
        ),
        (keras.layers.EinsumDense("abc,cde->abde", (None, 4, 5)), SEQUENCE, 7 * 3 * 4 * 5),
        (keras.layers.Embedding(10, 4), (7,), 0),
        (keras.layers.PReLU(), (8, 8, 4), 0),
        (keras.layers.TimeDistributed(keras.layers.Dense(5)), SEQUENCE, 7 * 3 * 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_of_sequences_and_volumes_count_by_arithmetic(layer, shape, macs):
    counted = complexity(model_of(layer, shape=shape))
    assert (counted.macs, counted.uncounted) == (macs, ())
    assert counted.trainable_params == layer.count_params()


def test_attention_counts_both_products_and_its_projections():
    x, y = keras.Input((5, 4)), keras.Input((6, 4))
    attended = keras.layers.MultiHeadAttention(num_heads=2, key_dim=3)(x, y)
    counted = complexity(keras.Model([x, y], attended))
    projections = 5 * 4 * 6 + 2 * (6 * 4 * 6) + 5 * 6 * 4  # query, key and value, output
    products = 2 * (2 * 5 * 6 * 3)  # scores, and values mixed, in two heads of three channels
    assert counted.macs == projections + products
    assert not counted.uncounted
    assert counted.trainable_params == (4 * 6 + 6) * 3 + (6 * 4 + 4)


@pytest.mark.parametrize("kind", [keras.layers.Attention, keras.layers.AdditiveAttention])
def test_attention_without_projections(kind):
    x, y = keras.Input((5, 4)), keras.Input((6, 4))
    assert complexity(keras.Model([x, y], kind()([x, y]))).macs == 2 * (5 * 6 * 4)


def test_attention_along_one_axis_and_with_values_of_their_own_width():
    image = keras.Input((3, 5, 4))
    layer = keras.layers.MultiHeadAttention(1, 2, value_dim=6, attention_axes=(2,))
    counted = complexity(keras.Model(image, layer(image, image)))
    assert counted.macs == 15 * (4 * 2 + 4 * 2 + 4 * 6 + 6 * 4) + 15 * 5 * (2 + 6)


def test_operations_count_as_the_layers_they_equal():
    x, y = keras.Input((5, 4)), keras.Input((4, 6))
    product = keras.layers.Dot((2, 1))([x, y])
    assert complexity(keras.Model([x, y], product)).macs == 5 * 4 * 6
    assert complexity(keras.Model([x, y], keras.ops.matmul(x, y))).macs == 5 * 4 * 6
    einsum = keras.ops.einsum("...ij,...jk->...ik", x, y)
    assert complexity(keras.Model([x, y], einsum)).macs == 5 * 4 * 6
    assert complexity(keras.Model([x, y], keras.ops.tensordot(x, y, 1))).uncounted


def test_unknown_image_size_is_an_error():
    with pytest.raises(ValueError, match=r"input_shape=\(224, 224, 3\)"):
        complexity(model_of(keras.layers.Conv2D(4, 1), shape=(None, None, 3)))


def test_channels_first_is_refused():
    conv = keras.layers.Conv2D(6, 3, data_format="channels_first")
    with pytest.raises(ValueError, match='set_image_data_format\\("channels_last"\\)'):
        complexity(model_of(conv))
