import math
import re

import keras
import numpy as np
import pytest

from keras_se import checks


def _lower(text):
    return text.lower()


@pytest.mark.parametrize(
    ("value", "known", "most", "said"),
    [
        ("Sigmoid", ("sigmoid", "tanh"), 10, "Did you mean 'sigmoid'? Choose from "),
        ("xyz", ("sigmoid", None), 10, "Choose from 'sigmoid', None."),
        ("sigmoid_", ("sigmoid", "tanh"), 1, "Did you mean 'sigmoid'?"),
        (3, ("sigmoid", "tanh"), 1, "Choose from 'sigmoid', 'tanh'."),
    ],
)
def test_the_nearest_names_come_first_and_all_where_they_are_few(value, known, most, said):
    assert checks.choices(value, known, most).startswith(said)


def test_a_known_name_passes_and_another_is_told_with_its_place():
    checks.check_known("pool", None, ("avg", None))
    with pytest.raises(ValueError, match=r"`pool` must be .* Received: pool='av' in 'x'\. Did you"):
        checks.check_known("pool", "av", ("avg", None), where=" in 'x'")


@pytest.mark.parametrize("value", [2, np.int64(2), 2**70])
def test_whole_numbers_from_the_least_are_counts(value):
    checks.check_count("n", value, 2, "Pass 2.")


@pytest.mark.parametrize(
    ("value", "error"),
    [(1, ValueError), (True, TypeError), (2.0, TypeError), ("2", TypeError), (None, TypeError)],
)
def test_what_is_no_count_is_refused_with_the_advice(value, error):
    with pytest.raises(error, match=r"`n` must be .*Received: n=.* in 'x'\. Pass 2\."):
        checks.check_count("n", value, 2, "Pass 2.", " in 'x'")


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5)])
def test_numbers_between_the_bounds_pass(value):
    checks.check_number("n", value, 0, 1, "Pass 0.")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        *((value, ValueError) for value in (-0.1, 1.5, math.nan, math.inf, -math.inf)),
        *((value, TypeError) for value in (True, "1", None, 1j)),
    ],
)
def test_no_other_number_passes(value, error):
    with pytest.raises(error, match=r"`n` must be a .*number.*Pass 0\."):
        checks.check_number("n", value, 0, 1, "Pass 0.")


def test_infinity_is_no_number_even_without_a_bound():
    with pytest.raises(ValueError, match="finite number"):
        checks.check_number("n", math.inf, 0, math.inf, "")


def test_only_true_and_false_are_flags():
    checks.check_flag("use", False)
    for value in (0, 1, "yes", None, np.bool_(True)):
        with pytest.raises(TypeError, match="Pass use=True or use=False"):
            checks.check_flag("use", value)


def test_a_function_is_a_known_name_or_one_that_can_be_saved():
    checks.check_activation("activation", "relu6")
    checks.check_function("gate", _lower, ())
    with pytest.raises(ValueError, match="Did you mean 'relu'"):
        checks.check_activation("activation", "rellu")
    with pytest.raises(ValueError, match="activation='get'"):
        checks.check_activation("activation", "get")
    for value in (lambda x: x, 3, None):
        with pytest.raises(TypeError, match=r"keras\.saving\.register_keras_serializable"):
            checks.check_function("gate", value, ("sigmoid",))


@pytest.mark.parametrize(
    ("check", "right", "typo", "meant"),
    [
        (checks.check_initializer, keras.initializers.Zeros(), "he_nrmal", "he_normal"),
        (
            checks.check_regularizer,
            keras.regularizers.L2(0.1),
            "orthogonal_regulariser",
            "orthogonal_regularizer",
        ),
    ],
)
def test_what_keras_reads_passes_and_what_it_does_not_is_one_sentence(check, right, typo, meant):
    check("setting", right)
    check("setting", meant)
    check("setting", None)
    with pytest.raises(ValueError, match=f"Received: setting='{typo}' .*Did you mean .*'{meant}'"):
        check("setting", typo)
    with pytest.raises(TypeError, match="`setting` must be a name or an object of keras"):
        check("setting", 3)


@pytest.mark.parametrize(
    ("check", "module", "name"),
    [
        (checks.check_initializer, keras.initializers, "constant"),  # lacks its value
        (checks.check_regularizer, keras.regularizers, "l1_l2"),  # Keras calls it l1l2
    ],
)
def test_no_name_is_proposed_that_keras_does_not_read(check, module, name):
    assert hasattr(module, name)
    with pytest.raises(ValueError, match=f"Received: setting='{name}'") as caught:
        check("setting", name)
    proposed = re.findall(r"'(\w+)'", str(caught.value).partition("Choose from")[2])
    assert len(proposed) > 2 and name not in proposed
    for each in proposed:
        check("setting", each)
