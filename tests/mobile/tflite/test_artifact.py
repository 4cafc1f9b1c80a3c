import json

import numpy as np
import pytest

from mobile.tflite.artifact import Artifact, Preprocessing
from mobile.tflite.content import content_of
from mobile.tflite.file import write_metadata
from tests.mobile.craft import Craft


def crafted(dtype="int8"):
    """Pixels 0..255 are 0..1 after the preprocessing; the file's scale is 1/255, zero -128."""
    c = Craft(dtype, scale=1 / 255, zero_point=-128 if dtype == "int8" else 0)
    image = c.tensor((1, 2, 2, 3), "image")
    return c.build([image], [c.conv(image, (1, 2, 2, 3), 4)])


@pytest.fixture(scope="module")
def artifact():
    preprocessing = Preprocessing(scale=(1 / 255,), offset=(0.0,))
    return Artifact.from_content(crafted(), "int8", preprocessing, partitions=1)


def test_preprocessing_scales_each_channel():
    image = np.full((1, 1, 1, 2), 100, np.uint8)
    out = Preprocessing((0.5, 2.0), (1.0, -1.0)).apply(image)
    assert out.dtype == np.float32
    assert out.ravel().tolist() == [100 * 0.5 + 1, 100 * 2 - 1]


def test_preprocessing_refuses_pixels_out_of_range():
    with pytest.raises(ValueError, match=r"0 to 255. Received: -1 to 3"):
        Preprocessing().apply(np.array([-1.0, 3.0]))


def test_preprocessing_warns_of_images_that_are_scaled_already():
    with pytest.warns(UserWarning, match="look scaled already"):
        Preprocessing().apply(np.array([0.0, 0.7]))


def test_prepare_maps_each_pixel_to_its_own_integer(artifact):
    pixels = np.arange(252, dtype=np.uint8).reshape(-1, 2, 2, 3)  # 252 = 21 * 2 * 2 * 3
    stored = artifact.prepare(pixels)
    assert stored.dtype == np.int8
    assert (stored.astype(int) == pixels.astype(int) - 128).all()


def test_prepare_refuses_another_shape(artifact):
    with pytest.raises(ValueError, match=r"\(count, 2, 2, 3\).*shape \(1, 3, 3, 3\)"):
        artifact.prepare(np.zeros((1, 3, 3, 3)))


def test_prepare_wants_one_array_for_each_input(artifact):
    with pytest.raises(ValueError, match="Received: 2 arrays"):
        artifact.prepare([np.zeros((1, 2, 2, 3))] * 2)
    assert len(artifact.prepare([np.zeros((1, 2, 2, 3))])) == 1


def test_restore_is_scale_times_distance_from_zero_point(artifact):
    values = artifact.restore(np.array([-128, 127], np.int8))
    assert values == pytest.approx([0, 1])  # (127 + 128) / 255


def test_float_artifact_takes_pixels_as_they_are():
    artifact = Artifact.from_content(crafted("float32"), "float32")
    image = np.full((1, 2, 2, 3), 200, np.uint8)
    assert artifact.prepare(image).dtype == np.float32
    assert (artifact.prepare(image) == 200).all()


def test_saved_artifact_says_itself_how_to_be_fed(artifact, tmp_path):
    loaded = Artifact.load(artifact.save(tmp_path / "model.tflite"))
    assert loaded.scheme == "int8"
    assert loaded.preprocessing == artifact.preprocessing
    assert loaded.operators == {"CONV_2D int8": 1}
    assert loaded.content == artifact.content


def test_class_names_travel_in_the_file(artifact, tmp_path):
    named = artifact.with_classes(["rose", "tulip"])
    again = Artifact.load(named.save(tmp_path / "model.tflite"))
    assert again.classes == named.classes == ("rose", "tulip")
    assert again.scheme == "int8" and again.preprocessing == artifact.preprocessing
    assert artifact.classes == ()
    assert json.loads(named.to_json())["classes"] == ["rose", "tulip"]
    bad = Artifact.from_content(write_metadata(artifact.content, "keras_se", {"classes": []}))
    assert bad.classes == ()
    with pytest.raises(ValueError, match="classes"):
        Artifact.from_content(write_metadata(artifact.content, "keras_se", {"classes": [1]}))


def test_strangers_file_has_no_scheme(tmp_path):
    assert Artifact.from_content(crafted()).scheme == "unknown"


def test_artifact_goes_to_json_and_back_with_its_content(artifact):
    described = json.loads(json.dumps(artifact.to_dict()))
    assert described["size_bytes"] == len(artifact.content)
    assert Artifact.from_dict(described, artifact.content) == artifact
    with pytest.raises(ValueError, match="another one"):
        Artifact.from_dict(described, b"other")


def test_artifact_prints_its_operators(artifact):
    assert "CONV_2D int8   1" in str(artifact)
    assert "b'" not in repr(artifact)  # not the whole file


def test_content_of_takes_artifact_bytes_and_path(artifact, tmp_path):
    path = artifact.save(tmp_path / "x.tflite")
    assert content_of(artifact) == content_of(path) == content_of(artifact.content)
    with pytest.raises(TypeError, match=r"mobile\.convert"):
        content_of(3)


def test_damaged_metadata_of_a_strangers_file_is_named():
    content = write_metadata(crafted(), "keras_se", {"preprocessing": {"scale": "big"}})
    with pytest.raises(ValueError, match=r"preprocessing\.scale: Expected `array`, got `str`"):
        Artifact.from_content(content)
