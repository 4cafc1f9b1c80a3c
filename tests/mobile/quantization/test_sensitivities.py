import keras
import numpy as np
import pytest

from mobile.quantization import quantize_aware, sensitivity
from mobile.quantization.sensitivities import Sensitivity


def test_the_layer_with_a_bad_range_is_the_worst(lowered, ranges, images):
    # A tenth of the range clips most of the values; leaving that layer out mends the model.
    wrong = ranges.updated({"project": tuple(v / 10 for v in ranges["project"])})
    names = ["stem", "depthwise", "project", "logits"]
    found = sensitivity(lowered, images[:16], ranges=wrong, layers=names, progress=False)
    assert [cost.layer for cost in found.layers] == names
    assert found.worst(1)[0].layer == "project"
    best = max(found.layers, key=lambda cost: cost.without_db)
    assert best.layer == "project" and best.without_db > found.all_db + 6
    assert Sensitivity.from_dict(found.to_dict()) == found
    assert "all layers" in str(found)


def test_one_layer_alone_costs_less_than_all(quantized, images):
    found = sensitivity(quantized, images[:16], layers=["hard_swish"], progress=False)
    (cost,) = found.layers
    assert cost.alone_db > found.all_db


def test_unknown_layers_are_listed(lowered, ranges, images):
    with pytest.raises(ValueError, match=r"\['odd'\]"):
        sensitivity(lowered, images[:4], ranges=ranges, layers=["odd"], progress=False)


def test_a_quantised_model_is_left_as_it_was(lowered, ranges, images):
    model = quantize_aware(lowered, ranges=ranges)
    before = model.predict(images[:4], verbose=0)
    sensitivity(model, images[:4], layers=["stem"], progress=False)
    assert (model.predict(images[:4], verbose=0) == before).all()


def test_against_the_float_models_own_answers_accuracy_is_agreement(lowered, ranges, images):
    chosen = images[:16]
    answers = lowered.predict(chosen, verbose=0).reshape(16, -1).argmax(axis=-1)
    options = dict(ranges=ranges, layers=["stem", "project"], progress=False)
    found = sensitivity(lowered, chosen, labels=answers, **options)
    assert found.float_accuracy == 1.0 and found.all_accuracy == found.all_agreement
    for cost in found.layers:
        assert cost.alone_accuracy == cost.alone_agreement
        assert cost.without_accuracy == cost.without_agreement
    wrong = sensitivity(lowered, chosen, labels=(answers + 1) % 5, **options)
    assert wrong.float_accuracy == 0.0 == wrong.layers[0].alone_accuracy
    assert "top-1" in str(found) and "top-1" not in str(sensitivity(lowered, chosen, **options))


def test_labels_of_another_number_are_refused(lowered, ranges, images):
    with pytest.raises(ValueError, match=r"of shape \(16,\).*shape \(3,\)"):
        sensitivity(lowered, images[:16], ranges=ranges, labels=[0, 1, 2], progress=False)


@pytest.mark.parametrize("options", [{"ranges": {}}, {"target": "builtin"}])
def test_what_a_quantised_model_has_already_is_refused(quantized, images, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}.*pass the float model"):
        sensitivity(quantized, images[:4], progress=False, **options)


def test_a_model_of_two_inputs_that_answers_yes_or_no(images):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    photo, meta = keras.Input((16, 16, 3), name="photo"), keras.Input((2,), name="meta")
    x = layers.Conv2D(4, 3, activation="relu", bias_initializer="normal", name="conv")(photo)
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), meta])
    model = keras.Model([photo, meta], layers.Dense(1, bias_initializer="normal", name="yes")(x))
    pair = [images / 255, np.random.default_rng(0).normal(size=(40, 2)).astype("float32")]
    labels = np.asarray(model(pair))[:, 0] > 0
    found = sensitivity(model, pair, labels=labels, progress=False)
    assert found.images == 40 and found.float_accuracy == 1.0 and found.all_accuracy > 0.9
    assert 0 < labels.mean() < 1 and "conv" in [cost.layer for cost in found.layers]
