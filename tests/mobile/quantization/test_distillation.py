import keras
import numpy as np
import pytest

from mobile.quantization import distil, distillation, keras_engine, quantize_aware


@pytest.fixture
def student(lowered, ranges):
    """A quantised model whose weights were spoilt a little."""
    model = quantize_aware(lowered, ranges=ranges)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if len(layer.get_weights()) == 2 and hasattr(layer, "on_grid"):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * random.normal(1, 0.2, kernel.shape), bias])
    return model


def _distance(model, teacher, images):
    return np.abs(model.predict(images, verbose=0) - teacher.predict(images, verbose=0)).mean()


@pytest.mark.parametrize("augment", [False, True])
def test_a_student_comes_nearer_to_its_teacher_without_labels(student, lowered, images, augment):
    before = _distance(student, lowered, images)
    returned = distil(student, lowered, images, steps=40, learning_rate=0.3, augment=augment)
    assert returned is student
    assert _distance(student, lowered, images) < 0.8 * before


def test_training_stops_when_the_time_is_up(student, lowered, images):
    ticks = iter(range(0, 10**6, 10))  # each look at the clock is 10 s later
    before = student.get_weights()
    distil(student, lowered, images, minutes=1, batch_size=8, clock=lambda: next(ticks))
    # One look at the start, then one a step: 60 s are over at the sixth.
    assert next(ticks) == 70
    assert any((a != b).any() for a, b in zip(before, student.get_weights(), strict=True))


def test_units_are_what_rounding_does_to_each_channel(lowered, ranges):
    model = quantize_aware(lowered, ranges=ranges)
    for name in ("project", "depthwise"):
        layer = model.get_layer(name)
        kernel = np.zeros(layer.kernel.shape, "float32")
        kernel[0, 0, :, :] = 4.0 if name == "project" else 2.0 * np.ones((8, 1))
        layer.set_weights([kernel, np.zeros(8)])
    units = distillation._units(model)
    project, depthwise = model.get_layer("project"), model.get_layer("depthwise")
    # Eight inputs of weight 4: the norm is 4 * sqrt(8). One of weight 2: it is 2.
    assert units[project.kernel.path].ravel() == pytest.approx(4 / np.array(project.levels))
    assert units[project.bias.path] == pytest.approx(4 * 8**0.5 * project.input_scale)
    assert units[depthwise.kernel.path].shape == (1, 1, 8, 1)
    assert units[depthwise.bias.path] == pytest.approx(2 * depthwise.input_scale)


def test_the_steps_are_those_of_keras_adam():
    dense = keras.layers.Dense(1)  # no unit of its own: 1e-3
    model = keras.Sequential([keras.Input((3,)), dense])
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    update = distillation._adam(model, model.trainable_variables)
    adam = keras.optimizers.Adam(0.5e-3)
    random = np.random.default_rng(0)
    for number in range(1, 6):
        gradients = [random.normal(size=v.shape).astype("float32") for v in model.weights]
        update(gradients, 0.5, float(number))
        adam.apply(gradients, twin.trainable_variables)
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_crops_are_parts_of_the_images_in_their_size(images):
    crops = np.asarray(distillation._crops(images, np.random.default_rng(0), (0.0, 255.0)))
    assert crops.shape == images.shape and crops.min() >= 0 and crops.max() <= 255
    # Of a ramp from left to right, some crops rise and some, the mirrored ones, fall.
    ramp = np.broadcast_to(np.linspace(50, 200, 16)[None, None, :, None], images.shape)
    crops = np.asarray(
        distillation._crops(ramp.astype("float32"), np.random.default_rng(0), (0.0, 255.0))
    )
    rise = crops[:, 8, -1, 0] - crops[:, 8, 0, 0]
    assert 5 < (rise > 0).sum() < len(images) - 5
    assert np.abs(rise).max() <= 1.3 * 150 and np.abs(rise).min() >= 0.7 * 150 * 0.35 * 0.7


def test_a_folder_of_images_will_do(student, lowered, images, tmp_path):
    from PIL import Image

    (tmp_path / "any").mkdir()
    for number, image in enumerate(images[:12]):
        Image.fromarray(image.astype("uint8")).save(tmp_path / "any" / f"{number}.png")
    before = student.get_weights()
    distil(student, lowered, tmp_path, steps=2)
    assert any((a != b).any() for a, b in zip(before, student.get_weights(), strict=True))


def test_fixed_ranges_stay_in_distillation(student, lowered, images, ranges):
    distil(student, lowered, images, steps=2)
    after = keras_engine.strip(student)[1]
    assert after["sigmoid"] == pytest.approx(ranges["sigmoid"])


def test_a_teacher_of_another_kind_is_refused(student, lowered, images):
    """One number would be compared with each of the student's, logits with probabilities."""

    def teacher(units):  # without a softmax
        x = keras.layers.GlobalAveragePooling2D()(lowered.input)
        return keras.Model(lowered.input, keras.layers.Dense(units)(x), name="other")

    before, classes = student.get_weights(), student.output_shape[-1]
    with pytest.raises(ValueError, match=rf"\[\(1,\)\] from 'other', and \[\({classes},\)\]"):
        distil(student, teacher(1), images, steps=2)
    with pytest.raises(ValueError, match="other numbers from 'other', and probabilities from"):
        distil(student, teacher(classes), images, steps=2)
    logits = teacher(classes)
    logits.set_weights([50 * weight for weight in logits.get_weights()])
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="probabilities from 'tiny'"):
        distil(quantize_aware(logits, calibration=images), lowered, images, steps=2)
    for was, now in zip(before, student.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_batches_train_as_the_array_does(lowered, ranges, images):
    found = []
    for given in (images, [images[:10], images[10:]], ((x[None], 0) for x in images)):
        model = quantize_aware(lowered, ranges=ranges)
        found.append(distil(model, lowered, given, steps=2, augment=False).get_weights())
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_float_model_is_refused(lowered, images):
    with pytest.raises(ValueError, match="quantize_aware"):
        distil(lowered, lowered, images, steps=1)


def test_a_pipe_or_a_notebook_gets_no_progress_bar(student, lowered, images, capsys):
    distil(student, lowered, images, steps=2)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 0}, "`steps` must be a whole number of at least 1. Received: steps=0"),
        ({"steps": 1.5}, "steps=1.5"),
        ({"minutes": 0}, "`minutes` must be above 0"),
        ({"minutes": float("nan")}, "minutes=nan"),
        ({"steps": 1, "batch_size": 0}, "batch_size=0"),
        ({"steps": 1, "learning_rate": -1}, "learning_rate=-1"),
    ],
)
def test_what_trains_nothing_is_refused(student, lowered, images, options, message):
    with pytest.raises(ValueError, match=message):
        distil(student, lowered, images, **options)


def test_nan_is_refused_wherever_it_comes_from_and_the_model_is_left(student, lowered, images):
    before = student.get_weights()
    with pytest.raises(ValueError, match="NaN or infinity among 40"):
        distil(student, lowered, np.where(images > 150, np.nan, images), steps=1)
    broken = keras.models.clone_model(lowered)
    broken.set_weights([weight * np.nan for weight in lowered.get_weights()])
    with pytest.raises(ValueError, match="in layer 'stem' of model 'tiny'"):
        distil(student, broken, images, steps=1)
    image = keras.Input((16, 16, 3), name="image")
    unsure = keras.Model(image, keras.ops.log(lowered(image) - 1))  # of a negative number
    with pytest.raises(ValueError, match=r"Received: nan at step 1.*as it was"):
        distil(student, unsure, images, steps=3)
    assert all((a == b).all() for a, b in zip(before, student.get_weights(), strict=True))


def test_frozen_layers_are_not_distilled(lowered, ranges, images):
    model = quantize_aware(lowered, ranges=ranges)
    model.get_layer("stem").trainable = False
    stem, project = (model.get_layer(name).get_weights()[0] for name in ("stem", "project"))
    distil(model, lowered, images, steps=2, learning_rate=0.3)
    assert (model.get_layer("stem").get_weights()[0] == stem).all()
    assert (model.get_layer("project").get_weights()[0] != project).any()
