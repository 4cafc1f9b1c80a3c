import json
import zipfile

import keras
import pytest

from mobile.pipeline import keras_files


def _model(shape=(4,)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, keras.layers.Dense(2)(inputs))


def _rewritten(path, change):
    """A copy of a .keras file whose members went through `change(name, content)`."""
    other = path.with_name("other.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return other


@pytest.fixture
def saved(tmp_path):
    return keras_files.save(_model(), tmp_path / "model.keras", ("rose", "tulip"))


def test_class_names_go_along_and_keras_reads_the_file_all_the_same(saved, tmp_path):
    assert keras_files.class_names(saved) == ("rose", "tulip")
    for read in (keras_files.load, keras.models.load_model):
        assert read(saved).output_shape == (None, 2)
    keras.models.load_model(saved).save(tmp_path / "again.keras")
    assert keras_files.class_names(tmp_path / "again.keras") == ()  # Keras does not know them


def test_a_file_without_class_names_has_none(tmp_path):
    assert keras_files.class_names(keras_files.save(_model(), tmp_path / "a.keras")) == ()
    whole = keras_files.save(_model(), tmp_path / "a.h5", ("rose", "tulip"))
    assert keras_files.class_names(whole) == ()
    assert keras_files.load(whole).output_shape == (None, 2)


def test_saving_leaves_the_old_file_where_it_fails(saved):
    class Failing:
        def save(self, path):
            path.write_text("half")
            raise OSError("disk full")

    before = saved.read_bytes()
    with pytest.raises(OSError, match="disk full"):
        keras_files.save(Failing(), saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_file_of_another_keras_is_said_to_be_one(saved):
    def newer(name, content):
        if name == "metadata.json":
            return json.dumps({"keras_version": "4.2.0"})
        return content.replace(b'"Dense"', b'"Dense5"')

    message = rf"{keras.__version__}, can read.*other.keras, written by Keras 4.2.0.*Dense5"
    with pytest.raises(ValueError, match=message):
        keras_files.load(_rewritten(saved, newer))


def test_a_refused_file_is_one_line(saved):
    with pytest.raises(ValueError, match="could not be deserialized") as caught:
        keras_files.load(_rewritten(saved, lambda name, c: c.replace(b'"units"', b'"unitz"')))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_file_that_is_no_model_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_text("hello")
    with pytest.raises(ValueError, match="does not say what wrote it"):
        keras_files.load(path)
    with pytest.raises(ValueError, match="does not exist"):
        keras_files.load(tmp_path / f"none-{name}")


@pytest.mark.parametrize(
    ("shape", "advice"),
    [((4,), "your own arrays"), ((8, 6, 3), "square"), ((None, None, 3), "with a size")],
)
def test_size_of_the_images_must_be_told_by_the_model(shape, advice):
    with pytest.raises(ValueError, match=advice):
        keras_files.image_size(_model(shape))
    assert keras_files.image_size(_model((8, 8, 3))) == 8


def test_quantisation_aware_models_are_told_apart(quantized, lowered):
    assert keras_files.is_quantized(quantized)
    assert not keras_files.is_quantized(lowered)
