import numpy as np
import pytest

import mobile
from mobile import data
from mobile.conversion.agreement import Agreement
from mobile.pipeline import int8_files
from mobile.pipeline.options import Options
from mobile.tflite import Artifact


@pytest.mark.parametrize("count", [2, 5, 99, 1438, 5000])
def test_images_set_apart_are_neither_calibrated_nor_trained_on(count):
    calibration, rest, apart = int8_files.split(count, calibration=256, seed=3)
    assert len(apart) == min(max(count // 5, 1), 256)
    assert len(calibration) == min(256, count - len(apart))
    assert sorted([*rest, *apart]) == list(range(count))
    assert set(calibration) <= set(rest)


def test_seed_decides_the_parts():
    one, same, other = (int8_files.split(100, 50, seed=seed) for seed in (1, 1, 2))
    for part, again in zip(one, same, strict=True):
        np.testing.assert_array_equal(part, again)
    assert not np.array_equal(one[2], other[2])


def _judged(**figures):
    return {name: Agreement(10, top1, 1.0, mean) for name, (top1, mean) in figures.items()}


def test_better_is_what_agrees_more_and_then_what_differs_less():
    assert int8_files.better(_judged(calibrated=(0.983, 0.5), trained=(0.912, 0.1))) == "calibrated"
    assert int8_files.better(_judged(calibrated=(0.90, 0.1), trained=(0.95, 0.5))) == "trained"
    assert int8_files.better(_judged(calibrated=(1.0, 0.04), trained=(1.0, 0.15))) == "calibrated"


@pytest.fixture(scope="module")
def digits():
    found = data.load(size=16)
    few, some = slice(0, 60), slice(0, 16)
    return data.from_arrays(
        found.x_train[few], found.y_train[few] % 5, found.x_test[some], found.y_test[some] % 5
    )


def _options(**changes):
    return Options(qat_epochs=1, batch=16, calibration_images=32, augment="none", **changes)


def _made(model, digits, **changes):
    made = int8_files.make(model, model, digits, _options(**changes).filled_in())
    assert set(made.files) == set(made.apart) == {"calibrated", "trained"}
    unseen = digits.x_train[int8_files.split(60, 32, seed=0)[2]]
    for name, file in made.files.items():
        assert isinstance(file, Artifact) and file.scheme == "int8"
        assert made.apart[name] == mobile.verify(model, file, unseen)
    assert mobile.convert(made.aware).content == made.files[made.kept].content
    return made


def test_training_that_harms_is_not_kept(lowered, digits):
    """At so large a step it forgets what it knew."""
    made = _made(lowered, digits, qat_learning_rate=0.3)
    assert made.kept == "calibrated"
    assert made.apart["trained"].mean_abs > made.apart["calibrated"].mean_abs
    assert len(made.epochs) == 1


def test_training_that_helps_is_kept(lowered, digits, monkeypatch):
    """Here calibration is spoilt: ranges a tenth of what they should be."""
    found = mobile.calibrate

    def spoilt(model, images, **options):
        ranges = found(model, images, **options)
        return {name: (low / 10, high / 10) for name, (low, high) in ranges.items()}

    def mended(aware, *arguments, **options):
        true = mobile.quantize_aware(lowered, ranges=found(lowered, digits.x_train, progress=False))
        aware.set_weights(true.get_weights())
        return (None,)

    monkeypatch.setattr("mobile.quantization.calibration.calibrate", spoilt)
    monkeypatch.setattr("mobile.pipeline.training.train", mended)
    made = _made(lowered, digits, qat_learning_rate=1e-5)
    assert made.kept == "trained"


def test_without_epochs_there_is_one_file(lowered, digits):
    options = Options(qat_epochs=0, calibration_images=32).filled_in()
    made = int8_files.make(lowered, lowered, digits, options)
    assert (set(made.files), made.kept, made.epochs) == ({"calibrated"}, "calibrated", ())
