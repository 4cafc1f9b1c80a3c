import keras
import numpy as np
import pytest
from PIL import Image

from mobile import data as data_room
from mobile.pipeline import keras_files, model_images


def _model(classes, size=16):
    inputs = keras.Input((size, size, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes)(x))


@pytest.fixture
def saved(tmp_path):
    """Makes a model with so many classes in a file, with their names if any."""

    def make(classes, names=(), **options):
        model = _model(classes, **options)
        return model, keras_files.save(model, tmp_path / f"{classes}.keras", names)

    return make


@pytest.fixture
def flowers(tmp_path):
    """Three classes of four training and two test images; each image has a grey of its own."""
    for part, count in (("train", 4), ("test", 2)):
        for number, name in enumerate(("aster", "lily", "rose")):
            folder = tmp_path / "flowers" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                grey = 10 * number + i + 100 * (part == "test")
                Image.fromarray(np.full((16, 16, 3), grey, np.uint8)).save(folder / f"{i}.png")
    return str(tmp_path / "flowers")


def test_images_are_of_the_models_size_and_of_the_part_asked_for(saved, flowers):
    model, path = saved(3, size=24)
    train = model_images.load(model, path, flowers, 100)
    test, _ = model_images.load_judging(model, path, flowers, 100)
    assert train.shape == (12, 24, 24, 3) and train.max() < 100
    assert test.shape == (6, 24, 24, 3) and test.min() >= 100


def test_digits_for_a_model_of_twelve_classes_are_refused(saved):
    """On a flower network, accuracy fell from 88.8 to 79.2 % that way, without a word."""
    model, path = saved(12)
    message = r"12\.keras of 12 classes, and digits with 10 classes \(0, 1, 2, \.\.\. 9\)\. Pass"
    for read in (model_images.load, model_images.load_labelled):
        with pytest.raises(ValueError, match=message):
            read(model, path, "digits", 5)
    model, path = saved(10)
    assert len(model_images.load(model, path, "digits", 5)) == 5


def test_without_data_nothing_is_taken_instead(saved):
    with pytest.raises(ValueError, match=r"none named\. Pass --data FOLDER, or --data digits"):
        model_images.load(*saved(10), None, 5)


def test_names_tell_more_than_their_number(saved, flowers):
    model, path = saved(3, ("bus", "car", "tram"))
    with pytest.raises(ValueError, match=r"bus, car, tram.*aster, lily, rose"):
        model_images.load(model, path, flowers, 5)
    model, path = saved(4, ("aster", "iris", "lily", "rose"))
    assert len(model_images.load(model, path, flowers, 5)) == 5  # some of its classes
    with pytest.raises(ValueError, match=r"Add what is missing.*--epochs 0"):
        model_images.load_labelled(model, path, flowers)  # would count them otherwise


def test_images_to_judge_with_bring_their_labels_in_the_models_order(saved, flowers):
    for names in (("rose", "aster", "lily", "iris"), ("aster", "lily", "rose")):
        model, path = saved(len(names), names)
        pixels, labels = model_images.load_judging(model, path, flowers, 5)
        greys = pixels[:, 0, 0, 0].astype(int)  # 100 of the test part, 10 times the folder's place
        folders = np.array(["aster", "lily", "rose"])[(greys - 100) // 10]
        assert [names[i] for i in labels] == folders.tolist()
    model, path = saved(3)  # without names
    pixels, labels = model_images.load_judging(model, path, flowers, 5)
    np.testing.assert_array_equal(labels, (pixels[:, 0, 0, 0].astype(int) - 100) // 10)


def test_images_to_judge_with_have_no_labels_where_no_folders_are_classes(saved, flowers):
    model, path = saved(1000)
    pixels, labels = model_images.load_judging(model, path, f"{flowers}/train/rose", 5)
    assert len(pixels) == 4 and labels is None
    inputs = keras.Input((16, 16, 3))
    masks = keras.Model(inputs, keras.layers.Conv2D(11, 1)(inputs))
    assert model_images.load_judging(masks, path, flowers, 5)[1] is None


def test_a_class_of_the_test_part_that_the_model_lacks_is_named(saved, flowers, tmp_path):
    (tmp_path / "flowers" / "test" / "rose").rename(tmp_path / "flowers" / "test" / "tulip")
    model, path = saved(3, ("aster", "lily", "rose"))
    with pytest.raises(ValueError, match=r"3 classes \(aster, lily, rose\), and test.* of tulip"):
        model_images.load_judging(model, path, flowers, 6)


def test_labels_count_the_classes_as_the_model_does(saved, flowers):
    model, path = saved(3, ("aster", "lily", "rose"))
    found = model_images.load_labelled(model, path, flowers)
    assert found.classes == ("aster", "lily", "rose")
    assert found.y_test.tolist() == [0, 0, 1, 1, 2, 2]


def test_names_that_no_longer_fit_the_model_are_passed_over(saved, flowers):
    model, path = saved(3, ("bus", "car"))
    assert len(model_images.load(model, path, flowers, 5)) == 5


def test_what_shows_no_classes_is_taken(saved, flowers):
    model, path = saved(1000)
    assert len(model_images.load(model, path, f"{flowers}/train/rose", 5)) == 4
    inputs = keras.Input((16, 16, 3))
    masks = keras.Model(inputs, keras.layers.Conv2D(11, 1)(inputs))  # a class for each pixel
    assert len(model_images.load(masks, path, flowers, 5)) == 5


def test_a_file_of_other_classes_is_not_the_models(saved, tmp_path):
    _, path = saved(2, ("bus", "tram"))
    artifact = tmp_path / "a.tflite"
    model_images.check_file(path, artifact, ("bus", "tram"))
    model_images.check_file(path, artifact, ())
    with pytest.raises(ValueError, match=r"a.tflite of 2 classes \(tram, bus\).*\(bus, tram\)"):
        model_images.check_file(path, artifact, ("tram", "bus"))


def test_one_output_is_two_classes(saved, tmp_path, flowers):
    for name in ("aster", "lily"):
        (tmp_path / "two" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "two" / name / "0.png")
    two = str(tmp_path / "two")
    assert data_room.class_names(two) == ("aster", "lily")
    assert len(model_images.load(*saved(1), two, 5)) == 2
    with pytest.raises(ValueError, match="1 class, and"):
        model_images.load(*saved(1), flowers, 5)
