"""The names of the package."""

import pytest

import keras_se


def test_unknown_name_of_the_package():
    with pytest.raises(AttributeError, match="'keras_se' has no attribute 'nothing'"):
        keras_se.nothing  # noqa: B018
    assert "blocks" in dir(keras_se)


def test_every_name_that_is_shown_is_there():
    assert set(keras_se.__all__) | {"blocks", "models", "weights"} == set(dir(keras_se))
    for name in dir(keras_se):
        assert getattr(keras_se, name) is not None
