import numpy as np
import pytest

from mobile.quantization.classes import accuracy, checked_labels, classes_of

SCORES = np.array([[0.1, 0.9, 0.0], [0.7, 0.2, 0.1]])


def test_the_largest_channel_is_the_class_also_of_1x1_images():
    assert classes_of(SCORES).tolist() == classes_of(SCORES[:, None, None]).tolist() == [1, 0]


@pytest.mark.parametrize(
    "outputs, yes", [([0.4, 0.6], [0, 1]), ([-0.1, 0.1], [0, 1]), ([0.6, 3.0], [1, 1])]
)
def test_one_channel_is_yes_above_a_half_or_above_zero(outputs, yes):
    assert classes_of(np.array(outputs)[:, None]).tolist() == yes


@pytest.mark.parametrize(
    "labels", [[1, 0], [[1], [0]], np.array([1.0, 0.0]), np.array([True, False]), [[[1]], [[0]]]]
)
def test_labels_of_any_such_form_are_class_numbers(labels):
    assert checked_labels(labels, SCORES).tolist() == [1, 0]


@pytest.mark.parametrize(
    "labels, message",
    [
        (["cat", "dog"], "such as .*'cat'.*list of class names"),
        (np.array(["cat", None], object), "list of class names"),
        (np.eye(3)[[1, 0]], r"shape \(2, 3\), one-hot"),
        ([1, 3], r"from 0 to 2. Received: 3, and 0 more"),
        ([-1, 255], "Received: -1, and 1 more"),
        ([0.5, 0.0], "Received: 0.5"),
        ([1, 0, 1], r"of shape \(2,\).*shape \(3,\)"),
        ([[1, 0]], r"shape \(1, 2\)"),
    ],
)
def test_other_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        checked_labels(labels, SCORES)


def test_void_pixels_of_masks_do_not_count():
    outputs = np.zeros((1, 2, 2, 3))
    outputs[..., 2] = 1  # class 2 everywhere
    masks = np.array([[[2, 255], [-1, 0]]])
    labels = checked_labels(masks, outputs)
    assert labels.tolist() == [[[2, -1], [-1, 0]]]
    assert accuracy(classes_of(outputs), labels) == 0.5  # one of the two that count
    assert np.isnan(accuracy(classes_of(outputs), np.full((1, 2, 2), -1)))


def test_masks_lie_as_the_images_do():
    with pytest.raises(ValueError, match=r"of shape \(1, 2, 4\).*shape \(1, 4, 2\)"):
        checked_labels(np.zeros((1, 4, 2), int), np.zeros((1, 2, 4, 3)))
