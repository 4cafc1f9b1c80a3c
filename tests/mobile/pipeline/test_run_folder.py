import json
import zipfile

import keras
import pytest

from mobile.pipeline import keras_files


def _rewritten(path, change):
    """A copy of a .keras file whose members went through `change(name, content)`."""
    other = path.with_name("other.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return other


@pytest.fixture
def saved(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    return keras_files.save_model(model, tmp_path / "model.keras")


def test_a_file_of_another_keras_is_said_to_be_one(saved):
    def newer(name, content):
        if name == "metadata.json":
            return json.dumps({"keras_version": "4.2.0"})
        return content.replace(b'"Dense"', b'"Dense5"')

    message = rf"{keras.__version__}, can read.*other.keras, written by Keras 4.2.0.*Dense5"
    with pytest.raises(ValueError, match=message):
        keras_files.load_model(_rewritten(saved, newer))


def test_a_refused_file_is_one_line(saved):
    with pytest.raises(ValueError, match="could not be deserialized") as caught:
        keras_files.load_model(_rewritten(saved, lambda name, c: c.replace(b'"units"', b'"unitz"')))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("hello")
    with pytest.raises(ValueError, match="does not say what wrote it"):
        keras_files.load_model(path)
    with pytest.raises(ValueError, match="does not exist"):
        keras_files.load_model(tmp_path / "none.keras")
