"""The examples in the docstrings print what they say."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import mobile

MODULES = [
    module.name
    for module in pkgutil.walk_packages(mobile.__path__, "mobile.")
    if ">>>" in Path(module.module_finder.find_spec(module.name).origin).read_text()
]


def test_modules_of_every_layer_have_examples():
    assert {"mobile.record", "mobile.lowering.registry", "mobile.benchmarking.statistics"} <= {
        *MODULES
    }


@pytest.mark.parametrize("name", ["mobile", *MODULES])
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
