"""SE by row and block in a file: what `build` takes from it, and what it refuses."""

import json

import pytest

import keras_se
from keras_se import PAPER, SEConfig, models
from keras_se.models import configuration
from keras_se.models.base import resolve_se
from tests.keras_se.models.small import small

ROWS = ((None, PAPER), (None, None), (SEConfig("sse"), None), (PAPER, SEConfig(gate="tanh")))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tuned.json"
    path.write_text(configuration.to_json("se_resnet18", ROWS))
    return path


def test_a_file_is_taken_by_its_path_and_by_its_name(path):
    network = models.find("se_resnet18")
    assert resolve_se(network, path) == resolve_se(network, str(path)) == ROWS
    other = path.rename(path.with_suffix(".txt"))
    assert resolve_se(network, other) == ROWS  # a Path is always one, text only with .json
    with pytest.raises(ValueError, match="known names"):
        resolve_se(network, str(other))


def test_a_network_built_from_a_file_has_its_gates(path):
    model = small("se_resnet18", se=path)
    assert {layer.name: type(layer).__name__ for layer in model.layers if "_se" in layer.name} == {
        "conv2_block2_se": "SqueezeExcite",
        "conv4_block1_se": "SpatialSqueezeExcite",
        "conv5_block1_se": "SqueezeExcite",
        "conv5_block2_se": "SqueezeExcite",
    }
    assert model.get_layer("conv5_block2_se").gate == "tanh"


def test_an_encoder_reads_its_own_file(path):
    encoder = models.find("mobilenet_v2")
    rows = resolve_se(encoder, PAPER)
    path.write_text(configuration.to_json(encoder.name, rows))
    options = {"input_shape": (64, 64, 3), "encoder": encoder.name, "se": None}
    read = models.build("unet", encoder_se=path, **options)
    told = models.build("unet", encoder_se=rows, **options)
    assert keras_se.complexity(read).se_params == keras_se.complexity(told).se_params > 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "keras-se profile"}, "format 'keras-se profile', version 1, not format"),
        ({"version": 2}, "version 2, not"),
        ({"network": "se_resnet34"}, "one of network 'se_resnet34', not of 'se_resnet18'"),
        ({"se": None}, "no rows of blocks"),
        ({"se": [None] * 4}, "no rows of blocks"),
        ({"se": [[None, None]] * 3}, r"\[2, 2, 2\] of them, where .* has \[2, 2, 2, 2\] blocks"),
        ({"se": [[None, None]] * 3 + [[None]]}, r"\[2, 2, 2, 1\] of them"),
        ({"se": [[None, None]] * 3 + [[None, {"kind": "cze"}]]}, r"se\[3\]\[1\] is no SE.*'cse'"),
        ({"se": [[None, None]] * 3 + [[None, {"ratio": 4}]]}, r"se\[3\]\[1\].*field='ratio'"),
        ({"se": [[None, None]] * 3 + [[None, 16]]}, r"se\[3\]\[1\] is no SE"),
        ({"se": [[None, None]] * 3 + [[None, []]]}, r"se\[3\]\[1\] is no SE"),
        ({"se": [[None, None]] * 3 + [[None, {"gate": {"a": 1}}]]}, r"se\[3\]\[1\] is no SE"),
    ],
)
def test_what_is_no_configuration_of_the_network_is_refused(path, changes, said):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=rf"tuned\.json: .*{said}.*configuration\.to_json"):
        resolve_se(models.find("se_resnet18"), path)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"[1]", "no record"), (b"{", "no JSON"), (b"\xff\xfe", "no JSON")],
)
def test_a_file_that_holds_no_record_is_refused(path, content, said):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"tuned\.json: {said}"):
        resolve_se(models.find("se_resnet18"), path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json: No such file"):
        resolve_se(models.find("se_resnet18"), f"{tmp_path}/none.json")
    with pytest.raises(ValueError, match="Is a directory"):
        resolve_se(models.find("se_resnet18"), tmp_path)
