import numpy as np
import pytest
from PIL import Image

from mobile import data


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two classes, red and blue, four training and two test images each, 16x16."""
    for part, count in (("train", 4), ("test", 2)):
        for name, colour in (("blue", (0, 0, 200)), ("red", (200, 0, 0))):
            for i in range(count):
                _save(tmp_path / "set" / part / name / f"{i}.png", np.full((16, 16, 3), colour))
    return tmp_path / "set"


def test_digits_keep_every_image_and_split_each_class_alike():
    digits = data.load()
    assert digits.x_train.shape[1:] == (48, 48, 3)
    assert digits.x_train.dtype == np.uint8
    assert len(digits.x_train) + len(digits.x_test) == 1797
    assert digits.x_train.max() == 255
    whole = np.bincount(digits.y_train) + np.bincount(digits.y_test)
    np.testing.assert_array_equal(np.bincount(digits.y_test), np.rint(whole * 0.2))


def test_seed_decides_the_split():
    one, same, other = (data.load(size=8, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.y_test, same.y_test)
    np.testing.assert_array_equal(one.x_test, same.x_test)
    assert not np.array_equal(one.x_test, other.x_test)


def test_folder_gives_pixels_and_labels_in_class_order(folder):
    loaded = data.load(folder, size=16)
    assert loaded.classes == ("blue", "red")
    assert loaded.name == "set"
    assert loaded.x_train.shape == (8, 16, 16, 3)
    assert loaded.y_test.tolist() == [0, 0, 1, 1]
    assert loaded.x_test[0, 0, 0].tolist() == [0, 0, 200]
    assert loaded.remarks == ()


def test_one_level_of_classes_needs_a_split_and_takes_it(folder):
    with pytest.raises(ValueError, match="--validation-split"):
        data.load(folder / "train", size=16)
    loaded = data.load(folder / "train", size=16, validation_split=0.25)
    assert loaded.y_train.tolist() == [0, 0, 0, 1, 1, 1]
    assert loaded.y_test.tolist() == [0, 1]


def test_split_of_a_folder_with_a_test_part_is_refused(folder):
    with pytest.raises(ValueError, match="Leave it out"):
        data.load(folder, validation_split=0.5)


def test_grey_alpha_and_odd_sizes_become_square_rgb(folder):
    red = folder / "train" / "red"
    _save(red / "0.png", np.full((16, 16), 90))
    _save(red / "1.png", np.zeros((16, 16, 4)))  # all transparent: white
    _save(red / "2.png", np.full((20, 40, 3), (9, 8, 7)))
    loaded = data.load(folder, size=16)
    x = loaded.x_train[4:]
    assert (x[0] == 90).all()
    assert (x[1] == 255).all()
    assert x[2, 5, 5].tolist() == [9, 8, 7]
    assert [r.split(" images ")[1].split(",")[0] for r in loaded.remarks] == [
        "grey-scale",
        "with transparency",
        "not 16x16",
    ]


def test_sixteen_bit_grey_is_scaled_not_clipped(folder):
    values = np.full((16, 16), 257 * 100, np.uint16)  # 257 is 65535 / 255
    Image.fromarray(values).save(folder / "train" / "red" / "0.png")
    assert (data.load(folder, size=16).x_train[4] == 100).all()


def test_broken_image_is_left_out_and_named_or_refused(folder):
    broken = folder / "train" / "red" / "1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    (folder / "train" / "red" / "note.txt").write_text("no image")
    loaded = data.load(folder, size=16)
    assert loaded.skipped == (str(broken),)
    assert len(loaded.x_train) == 7
    assert loaded.remarks[0].startswith("1 of 12 images broken and left out")
    with pytest.raises(ValueError, match="leave out --strict"):
        data.load(folder, size=16, strict=True)


def test_class_with_only_broken_images_is_refused(folder):
    for path in (folder / "test" / "red").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="Replace them"):
        data.load(folder, size=16)


def test_folders_without_images_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        data.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="Give each class a folder"):
        data.load(folder / "train" / "red", validation_split=0.5)
    (folder / "train" / "green").mkdir()
    (folder / "test" / "green").mkdir()
    with pytest.raises(ValueError, match=r"Empty in .*train: green"):
        data.load(folder, size=16)


def test_classes_of_train_and_test_must_agree(folder):
    (folder / "test" / "red").rename(folder / "test" / "green")
    with pytest.raises(ValueError, match="green, red"):
        data.load(folder, size=16)


@pytest.mark.parametrize("size", [0, 7, 2000, 48.0])
def test_size_out_of_range_is_refused(size):
    with pytest.raises(ValueError, match="Leave it out"):
        data.load(size=size)


@pytest.mark.parametrize("share", [0, 1, -0.5, 20])
def test_split_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="one image in five"):
        data.load(validation_split=share)


def test_arrays_are_checked():
    x, y = np.zeros((4, 16, 16, 3), np.uint8), np.array([0, 1, 2, 1])
    assert data.from_arrays(x, y, x, y).classes == ("0", "1", "2")
    with pytest.raises(ValueError, match="squares"):
        data.from_arrays(x[..., :1], y, x, y)
    with pytest.raises(ValueError, match="Scale them back"):
        data.from_arrays(x / 255 + 0.5, y, x, y)
    with pytest.raises(ValueError, match="one class index"):
        data.from_arrays(x, y[:3], x, y)
    with pytest.raises(ValueError, match="3 names"):
        data.from_arrays(x, y, x, y, classes=["a", "b"])


def test_images_without_labels_are_drawn_from_anywhere_below_a_folder(folder, tmp_path):
    (folder / "train" / "red" / "1.png").write_bytes(b"no image")
    assert data.load_images(folder / "train", size=16, count=100).shape == (7, 16, 16, 3)
    assert data.load_images(tmp_path / "set" / "test", size=16).shape == (4, 16, 16, 3)
    some = data.load_images(folder, size=16, count=3, seed=1)
    np.testing.assert_array_equal(some, data.load_images(folder, size=16, count=3, seed=1))
    assert len(some) == 3
    assert data.load_images(None, size=8, count=5).shape == (5, 8, 8, 3)
    with pytest.raises(ValueError, match="Pass a folder of images"):
        data.load_images(tmp_path / "nothing", size=16)
    with pytest.raises(ValueError, match="take 200"):
        data.load_images(folder, size=16, count=0)


def test_images_to_calibrate_on_and_images_to_judge_on_are_others(folder):
    """Of a folder with both parts, and of the digits."""
    train, test = (data.load_images(folder, size=16, part=part) for part in ("train", "test"))
    assert (len(train), len(test)) == (8, 4)
    digits = data.load(size=8)
    for part, whole in (("train", digits.x_train), ("test", digits.x_test)):
        found = data.load_images("digits", size=8, count=2000, part=part)
        np.testing.assert_array_equal(found, whole)
    with pytest.raises(ValueError, match="judge on test"):
        data.load_images(folder, part="validation")


def test_images_come_with_the_folder_that_they_lie_in(folder):
    both = data.load(folder, size=16)
    pixels, names = data.load_named_images(folder, 16, 100, part="test")
    found = sorted((name, image.tobytes()) for name, image in zip(names, pixels, strict=True))
    pairs = zip(both.y_test, both.x_test, strict=True)
    assert found == sorted((both.classes[i], image.tobytes()) for i, image in pairs)
    digits = data.load(size=8)
    assert data.load_named_images("digits", 8, 2000)[1] == tuple(map(str, digits.y_train))


def test_the_word_digits_is_not_a_folder_of_that_name(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert data.load("digits", size=8).name == "digits"
    folder.rename(tmp_path / "digits")
    with pytest.raises(ValueError, match=r"Pass \./digits"):
        data.load("digits")
    for path in ("./digits", tmp_path / "digits"):
        assert data.load(path, size=16).classes == ("blue", "red")


def test_class_names_are_those_of_the_folders_that_hold_images(folder):
    assert data.class_names("digits") == tuple("0123456789")
    assert data.class_names(folder) == data.class_names(folder / "test") == ("blue", "red")
    assert data.class_names(folder / "test" / "red") == ()  # images in no class folder
    assert data.class_names(folder / "nothing") == ()
    (folder / "test" / "red" / "more").mkdir()
    _save(folder / "one" / "red" / "0.png", np.zeros((16, 16, 3)))
    assert data.class_names(folder / "one") == ()  # of one class nothing can be told
