"""The examples in the docstrings print what they say."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import keras_se

FOUND = pkgutil.walk_packages(keras_se.__path__, "keras_se.")
MODULES = [
    module.name
    for module in FOUND
    if ">>>" in Path(module.module_finder.find_spec(module.name).origin).read_text()
]


def test_modules_of_every_folder_have_examples():
    folders = {name.rpartition(".")[0] for name in MODULES}
    assert folders == {"keras_se", "keras_se.blocks", "keras_se.layers", "keras_se.models"}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
