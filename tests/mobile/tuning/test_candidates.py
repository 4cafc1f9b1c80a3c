"""One network trained alone: what is set apart, what is judged, and what is written."""

import dataclasses

import numpy as np
import pytest

import mobile
from keras_se import MOBILENET_V3, models
from mobile.devices import predict
from mobile.pipeline import keras_files
from mobile.pipeline.options import Options
from mobile.tuning.candidates import Candidate, Made, set_apart, train_candidate

TINY = dataclasses.replace(
    models.find("mobilenet_v3_small"), name="tiny", rows=models.find("mobilenet_v3_small").rows[:3]
)
SE = dataclasses.replace(MOBILENET_V3, placement="projected")


def digits(count=None):
    images = mobile.data.load(None, size=32)
    return dataclasses.replace(
        images, x_train=images.x_train[:count], y_train=images.y_train[:count],
        x_test=images.x_test[:64], y_test=images.y_test[:64],
    )  # fmt: skip


def test_a_fifth_is_set_apart_and_shared_with_neither_part():
    images = digits()
    marked = dataclasses.replace(images, y_train=np.arange(len(images.x_train)))
    trained, apart = set_apart(marked)
    count = len(images.x_train)
    assert len(apart.x_test) == int(0.2 * count)
    assert sorted([*trained.y_train, *apart.y_test]) == list(range(count))
    np.testing.assert_array_equal(trained.x_test, images.x_test)
    np.testing.assert_array_equal(apart.x_test, images.x_train[apart.y_test])
    np.testing.assert_array_equal(set_apart(marked)[1].y_test, apart.y_test)


def test_too_few_images_to_choose_by_are_refused():
    with pytest.raises(ValueError, match=r"at least 32. Received: 100 training images in 'digits'"):
        set_apart(digits(100))


def test_a_candidate_is_built_trained_and_judged_as_its_files_are(tmp_path):
    images = digits(320)
    options = Options(
        epochs=1, batch=32, learning_rate=3e-3, augment="none", calibration_images=32, seed=3
    )
    candidate = Candidate.of("tail only", TINY, [None, None, SE], 0.5)
    assert Candidate.from_json(candidate.to_json()) == candidate
    made = train_candidate(candidate, TINY, images, options, tmp_path)
    assert made.files == {"float": "tail_only-3.keras", "int8": "tail_only-3.tflite"}
    assert Made.from_json(made.to_json()) == made
    model = keras_files.load(tmp_path / made.files["float"])
    squeezed = [layer.name for layer in model.layers if layer.name.endswith("_se")]
    assert squeezed == ["block_2_se"]
    assert made.params == sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert len(made.epochs) == 1 and made.trained.seed == 3
    file = mobile.Artifact.load(tmp_path / made.files["int8"])
    _, apart = set_apart(images)
    for data, told in (
        (images, made.trained.int8_accuracy),
        (apart, made.trained.validation_accuracy),
    ):
        (answers,) = file.restore(predict(file, file.prepare(data.x_test)))
        assert told == pytest.approx(np.mean(answers.argmax(-1) == data.y_test))
