import dataclasses

import numpy as np
import pytest
from PIL import Image

import keras_se
from mobile.pipeline import se_variants


@pytest.fixture
def tiny(monkeypatch):
    """MobileNetV3-Small's first two blocks."""
    small = keras_se.models.find("mobilenet_v3_small")
    found = dataclasses.replace(small, name="mobilenet_v3_tiny", rows=small.rows[:2])
    monkeypatch.setitem(keras_se.models._NETWORKS, found.name, found)
    return found.name


def test_each_configuration_has_its_file_and_its_cost(tiny, tmp_path):
    random = np.random.default_rng(0)
    for i in range(12):
        pixels = np.repeat(np.repeat(random.integers(0, 256, (4, 4, 3), np.uint8), 8, 0), 8, 1)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    names = ("default", "none", "paper")
    files, configurations, title, warning = se_variants.build(names, tiny, 32, tmp_path)
    assert tuple(files) == tuple(one.name for one in configurations) == names
    assert {file.scheme for file in files.values()} == {"int8"}
    default, none, paper = configurations
    assert none.se == "none" and none.params < default.params and none.macs < default.macs
    assert paper.se.startswith("cse, reduction 16")
    assert title == "mobilenet_v3_tiny, 32x32, int8"
    assert f"12 images of {tmp_path}" in warning
    means = [file.operators["MEAN int8"] for file in files.values()]
    assert means == [2, 1, 2]  # the squeeze of the one block with SE, and the pooling at the end


@pytest.mark.parametrize("names", [("mobile",), ("mobile", "mobile"), ()])
def test_there_must_be_something_to_compare(names):
    with pytest.raises(ValueError, match=r"At least two.*Known: default, none, paper"):
        se_variants.build(names, "mobilenet_v3_small")


def test_unknown_configuration_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'server'"):
        se_variants.build(("mobile", "servr"), "mobilenet_v3_small")
