"""What holds for the layer of every kind: axes, sizes, precision, gradients, other runtimes."""

import keras
import numpy as np
import pytest

from keras_se import SEConfig
from tests.keras_se.layers.formulas import KINDS, assert_close, model_of, random_images


@pytest.mark.parametrize(
    ("gate", "factor"), [("sigmoid", 0.5), ("hard_sigmoid", 0.5), ("tanh", 0), ("relu", 0)]
)
@pytest.mark.parametrize("kind", ["cse", "sse", "static"])
def test_gate_of_zero_weights_is_the_gate_of_zero(kind, gate, factor):
    x = np.random.default_rng(4).normal(size=(2, 5, 5, 16)).astype("float32")
    layer = SEConfig(kind, gate=gate).layer(kernel_initializer="zeros")
    np.testing.assert_array_equal(layer(x), factor * x)


@pytest.mark.parametrize("kind", ["cse", "sse", "scse", "static"])
@pytest.mark.parametrize(
    "shape",
    # Squeezed to 4 of 16 channels: no size tells these from the positions, nor the axes apart.
    [(2, 16, 9), (2, 16, 5, 6), (2, 16, 3, 4, 5), (2, 16, 4, 4), (2, 16, 16, 16)],
)
@pytest.mark.parametrize("pool", ["avg", None])
def test_channels_first_is_channels_last_transposed(kind, shape, pool):
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape).astype("float32")
    config = SEConfig(kind, reduction=4, min_channels=1, pool=pool, aggregate="concat")
    first, last = (config.layer(data_format=f"channels_{end}") for end in ("first", "last"))
    first.build(shape)
    first.set_weights([rng.normal(0, 0.7, w.shape) for w in first.weights])
    last.build(np.moveaxis(x, 1, -1).shape)
    last.set_weights(first.get_weights())
    expected = keras.ops.convert_to_numpy(last(np.moveaxis(x, 1, -1)))
    assert_close(first(x), np.moveaxis(expected, -1, 1))
    assert first.compute_output_shape(shape)[1] == expected.shape[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_any_height_width_and_batch(kind):
    layer = SEConfig(kind, reduction=4, min_channels=1).layer()
    model = model_of(layer)
    assert model.output_shape == (None, None, None, 16)
    for shape in ((1, 1, 1, 16), (3, 7, 2, 16), (2, 20, 31, 16)):
        x = random_images(*shape)
        np.testing.assert_allclose(model.predict(x, verbose=0), layer(x), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("mixed_float16", 5e-3), ("mixed_bfloat16", 4e-2)]
)
def test_half_precision_is_near_full_precision(kind, dtype, tolerance):
    config, x = SEConfig(kind, reduction=4, min_channels=1), random_images(2, 9, 9, 16)
    full, half = config.layer(dtype="float32"), config.layer(dtype=dtype)
    full.build(x.shape)
    half.build(x.shape)
    half.set_weights(full.get_weights())
    assert {weight.dtype for weight in half.weights} == {"float32"}
    difference = np.asarray(half(x), "float32") - np.asarray(full(x))
    assert np.max(np.abs(difference)) < tolerance * np.max(np.abs(x))


@pytest.mark.parametrize("kind", KINDS)
def test_one_compiled_training_step_lowers_the_loss(kind):
    x = random_images(8, 6, 6, 16)
    model = model_of(SEConfig(kind, reduction=4, min_channels=1).layer(kernel_regularizer="l2"))
    assert len(model.losses) == {"cse": 2, "sse": 1, "scse": 3, "static": 2}[kind]
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=True)
    losses = [float(model.train_on_batch(x, x / 4)) for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pool", ["avg", "max", None])
@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
def test_gradient_is_that_of_finite_differences(kind, pool, gate):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tf.GradientTape needs the tensorflow backend")
    rng = np.random.default_rng(1)
    layer = SEConfig(kind, reduction=2, min_channels=1, pool=pool, gate=gate).layer(dtype="float64")
    x = tf.Variable(rng.normal(size=(2, 3, 4, 6)))
    layer.build(x.shape)
    mix = rng.normal(size=x.shape)

    def loss():
        return tf.reduce_sum(layer(x) * mix)

    with tf.GradientTape() as tape:
        value = loss()
    variables = [x, *(weight.value for weight in layer.weights)]
    for variable, gradient in zip(variables, tape.gradient(value, variables), strict=True):
        direction, at, step = rng.normal(size=variable.shape), variable.numpy(), 1e-6
        variable.assign(at + step * direction)
        above = float(loss())
        variable.assign(at - step * direction)
        slope = (above - float(loss())) / (2 * step)
        variable.assign(at)
        assert slope == pytest.approx(float(np.sum(gradient * direction)), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_litert_gives_the_same_outputs(kind):
    tf = pytest.importorskip("tensorflow")
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    inputs = keras.Input((7, 6, 16), batch_size=1)
    config = SEConfig(kind, reduction=4, min_channels=1, gate="hard_sigmoid", aggregate="max")
    model = keras.Model(inputs, config.layer(kernel_initializer="random_normal")(inputs))
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    interpreter = litert.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    x = random_images(1, 7, 6, 16)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(y, model.predict_on_batch(x), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_call_traces_into_plain_operations(kind):
    # What rewrites a model reads the layer this way.
    inputs = keras.Input((7, 6, 16))
    layer = SEConfig(kind, reduction=4, min_channels=1).layer()
    layer.build(inputs.shape)
    traced = keras.Model(inputs, layer.call(inputs))
    names = [type(operation).__name__ for operation in traced.operations]
    if kind == "cse":
        assert names == ["InputLayer", "Mean", "Conv2D", "ReLU", "Conv2D", "Sigmoid", "Multiply"]
    x = random_images(2, 7, 6, 16)
    np.testing.assert_allclose(traced(x), layer(x), atol=1e-6)
