import keras
import numpy as np
import pytest

import keras_se
from mobile.tuning.switched_gates import SwitchedGates
from tests.mobile.tuning.networks import network, pictures


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def images():
    return pictures(20)


@pytest.fixture(scope="module")
def constants():
    """Far from what the gates do, so that each changes some answers."""
    random = np.random.default_rng(7)
    return {"early": random.uniform(0, 3, 8), "late": random.uniform(0, 3, 12)}


@pytest.fixture(scope="module")
def switched(model, images, constants):
    return SwitchedGates(model, constants, images, np.arange(20) % 5)


def top1(model, images):
    return model.predict(images, verbose=0).argmax(axis=-1)


@pytest.mark.parametrize("names", [("early",), ("late",), ("late", "early"), ()])
def test_answers_are_those_of_the_model_with_these_gates_folded(
    model, images, constants, switched, names
):
    folded = keras_se.fold(model, {name: constants[name] for name in names})
    assert switched.answers(names).tolist() == top1(folded, images).tolist()


def test_gates_come_back_and_the_given_model_is_as_it_was(model, images, switched):
    before = top1(model, images)
    assert switched.agreement(switched.answers(("early", "late"))) < 1
    assert switched.answers(()).tolist() == switched.truth.tolist() == before.tolist()
    assert top1(model, images).tolist() == before.tolist()


def test_shares_are_counted_over_the_images(model, images, switched):
    answers = switched.truth.copy()
    answers[:3] += 1
    assert switched.agreement(answers) == 17 / 20
    assert switched.accuracy(np.arange(20) % 5) == 1
    assert switched.accuracy((np.arange(20) + 1) % 5) == 0
    assert SwitchedGates(model, {}, images).accuracy(answers) is None


def test_an_answer_of_nan_is_none(model, images, switched):
    head = keras.models.clone_model(model)
    weights = model.get_weights()
    head.set_weights([*weights[:-1], weights[-1] * np.nan])
    assert (switched.answers_of(head) == -1).all()
    assert switched.agreement(switched.answers_of(head)) == 0


def test_void_positions_of_a_map_are_left_out():
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Conv2D(3, 1, use_bias=False)(image))
    model.set_weights([np.eye(3)[None, None]])  # the class is the largest channel
    right = np.random.default_rng(0).integers(0, 3, (6, 4, 4))
    labels = right.copy()
    labels[:, 0] = 255
    labels[:, 1] = (right[:, 1] + 1) % 3  # 4 of 12 known positions are wrong
    switched = SwitchedGates(model, {}, np.eye(3, dtype="float32")[right], labels)
    assert switched.accuracy(switched.truth) == 8 / 12


def test_labels_are_one_class_an_answer(model, images):
    with pytest.raises(ValueError, match=r"shape \(20, 5\) for answers of shape \(20,\).*argmax"):
        SwitchedGates(model, {}, images, np.eye(5)[np.arange(20) % 5])


def test_a_model_of_two_outputs_or_of_one_number_has_no_answers_to_compare(images):
    image = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    one, other = keras.layers.Dense(5)(x), keras.layers.Dense(5)(x)
    with pytest.raises(ValueError, match=r"one output.*with 2 outputs.*keras_se\.fold"):
        SwitchedGates(keras.Model(image, [one, other]), {}, images)
    with pytest.raises(ValueError, match=r"with 1 outputs, the first of shape \(None, 1\)"):
        SwitchedGates(keras.Model(image, keras.layers.Dense(1)(x)), {}, images)
