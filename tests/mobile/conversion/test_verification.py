import keras
import numpy as np
import pytest

from mobile.conversion import verification, watch_gap
from mobile.conversion.agreement import Agreement
from mobile.conversion.converter import convert
from mobile.conversion.verification import check_operators, image_pitfalls, verify
from mobile.quantization import quantize_aware


def test_each_operator_is_within_one_level(quantized, artifact, images):
    checks = check_operators(quantized, artifact, images[:8])
    assert len(checks) == 21  # every operator of the file
    assert {check.worst_levels for check in checks} <= {0, 1}
    assert sum(check.share_off for check in checks) / len(checks) < 0.01


def test_a_wrong_kernel_is_found_by_its_operator(quantized, artifact, images):
    other = keras.models.clone_model(quantized)
    other.set_weights(quantized.get_weights())
    kernel, bias = other.get_layer("project").get_weights()
    other.get_layer("project").set_weights([kernel, bias + 0.1])
    checks = check_operators(other, artifact, images[:4])
    assert [check.layer for check in checks if check.worst_levels > 1] == ["project"]


def test_agreement_of_an_int8_file(lowered, artifact, images):
    labels = lowered.predict(images, verbose=0).argmax(axis=1)
    agreement = verify(lowered, artifact, images, labels)
    assert agreement.images == len(images)
    assert agreement.accuracy["keras"] == 1.0
    # With the model's own answers as labels, the file's accuracy is the agreement.
    assert agreement.accuracy["tflite"] == agreement.top1_agreement > 0.7
    assert agreement.mean_abs <= agreement.worst_abs < 0.05
    assert Agreement.from_dict(agreement.to_dict()) == agreement


def test_a_float_file_agrees_wholly(lowered, images):
    agreement = verify(lowered, convert(lowered, "float32"), images)
    assert agreement.top1_agreement == 1.0 and agreement.accuracy is None
    assert agreement.worst_abs < 1e-5


def test_blame_names_the_layer_whose_range_is_wrong(lowered, ranges, images):
    # A range a tenth of the values' clips most of them.
    wrong = ranges.updated({"project": tuple(v / 10 for v in ranges["project"])})
    model = quantize_aware(lowered, ranges=wrong)
    agreement = verify(lowered, convert(model), images, blame=True)
    assert [row.layer for row in agreement.blame if row.note] == ["project"]
    assert len(agreement.blame) == 21


def test_a_range_far_too_wide_is_a_pitfall(lowered, ranges, images):
    wide = ranges.updated({"depthwise": (0.0, 100 * ranges["depthwise"][1])})
    model = quantize_aware(lowered, ranges=wide)
    agreement = verify(model, convert(model), images, blame=True)
    assert any("depthwise" in said and "levels are hit" in said for said in agreement.pitfalls)


def test_dead_channels_and_saturated_gates_are_pitfalls(lowered, ranges, images):
    model = quantize_aware(lowered, ranges=ranges)
    kernel, bias = model.get_layer("project").get_weights()
    kernel[..., :3] = 0
    model.get_layer("project").set_weights([kernel, bias])
    kernel, bias = model.get_layer("late").get_weights()
    model.get_layer("late").set_weights([kernel, bias - 1000])
    pitfalls = verify(model, convert(model), images, blame=True).pitfalls
    assert any(said.startswith("project: 3 channels") for said in pitfalls)
    assert any(said.startswith("late: the gate is saturated") for said in pitfalls)


def test_noise_is_not_taken_for_images(images):
    noise = np.random.default_rng(0).uniform(0, 255, (10, 16, 16, 3))
    assert "noise" in image_pitfalls(noise)[0]
    assert image_pitfalls(images) == []


def test_outputs_are_matched_by_shape():
    truth = [np.zeros((2, 3)), np.zeros((2, 4, 4, 1))]
    answers = [np.ones((2, 4, 4, 1)), np.ones((2, 3))]
    assert [a.shape for a in verification._in_order(answers, truth)] == [(2, 3), (2, 4, 4, 1)]
    with pytest.raises(ValueError, match="converted from"):
        verification._in_order(answers, [np.zeros((2, 5)), truth[1]])


def test_labels_must_be_as_many_as_images(lowered, artifact, images):
    with pytest.raises(ValueError, match="7 labels"):
        verify(lowered, artifact, images, np.zeros(7))


def test_the_gap_is_logged_each_epoch(lowered, ranges, images):
    model = quantize_aware(lowered, ranges=ranges)
    model.compile("sgd", "sparse_categorical_crossentropy")
    labels = np.arange(len(images)) % 5
    watch = watch_gap.WatchGap(images[:10], labels[:10])
    logs = model.fit(images, labels, epochs=2, verbose=0, callbacks=[watch]).history
    assert len(logs["tflite_agreement"]) == len(logs["tflite_accuracy"]) == 2
    assert max(logs["tflite_mean_abs"]) < 0.02
