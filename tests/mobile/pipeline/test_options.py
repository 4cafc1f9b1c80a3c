import json

import numpy as np
import pytest

import keras_se
from mobile import data
from mobile.pipeline.options import Options, decide, se_named


def _images():
    pixels, labels = np.zeros((4, 32, 32, 3), np.uint8), np.array([0, 1, 0, 1])
    return data.from_arrays(pixels, labels, pixels, labels, name="tiny")


def test_defaults_depend_on_the_data():
    assert Options().filled_in().size == 48
    assert Options(data="photos").filled_in().size == 224
    assert Options(data="photos", epochs=3).filled_in().epochs == 3
    transfer = Options(data="photos", weights="w.npz").filled_in()
    assert transfer.epochs < Options(data="photos").filled_in().epochs
    assert json.loads(json.dumps(Options().to_dict())) == Options().to_dict()


def test_digits_are_meant_by_none_and_by_the_word():
    assert decide(None, {}) == decide("digits", {}) == (None, Options().filled_in())
    assert decide("./digits", {})[1].data == "./digits"


def test_arguments_of_both_trainings_are_complete_and_differ_where_they_should():
    chosen = Options(epochs=7, qat_epochs=2, seed=3).filled_in()
    assert chosen.float_training() == {
        "epochs": 7, "batch": 64, "learning_rate": 3e-3, "augment": "shift", "seed": 3,
    }  # fmt: skip
    changed = {"epochs": 2, "learning_rate": 1e-5, "weight_decay": 0.0}
    assert chosen.aware_training() == {**chosen.float_training(), **changed}


def test_images_of_yours_bring_their_size():
    images = _images()
    given, chosen = decide(images, {"epochs": 1})
    assert given is images
    assert (chosen.size, chosen.data) == (32, "DataSet tiny")
    assert decide(images, {"size": 32})[1] == decide(images, {})[1]
    for idle in ({"size": 64}, {"validation_split": 0.2}, {"strict": True}):
        with pytest.raises(ValueError, match=r"'tiny' of 32x32\. Leave that out"):
            decide(images, idle)


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ({"engine": "torch"}, "keras, tfmot"),
        ({"method": "entropi"}, r"entropy\. Received: 'entropi'\. Did you mean 'entropy'"),
        ({"target": "toaster"}, "xnnpack, xnnpack-x86"),
        ({"augment": "mixup"}, "none, shift, photo"),
        ({"epochs": -1}, "at least 0"),
        ({"qat_epochs": 1.5}, "whole number"),
        ({"runs": 0}, "at least 1"),
        ({"threads": "2"}, "whole number"),
        ({"qat_learning_rate": 0}, "above 0"),
        ({"weights": "nowhere.npz"}, "Leave out --weights"),
        ({"learning_rates": 1}, r"Did you mean learning_rate\?"),
        ({"xyz": 1}, "among network, se.*Leave them out"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(option, advice):
    with pytest.raises(ValueError, match=advice):
        decide(None, option)


@pytest.mark.parametrize("method", ["mse", "minmax", "percentile", "entropy"])
def test_a_run_takes_every_method_that_calibration_knows(method):
    assert decide(None, {"method": method})[1].method == method


def test_presets_go_by_their_names():
    assert se_named("server") == keras_se.SERVER
    assert se_named("none") is None
    assert se_named("default") == "default"
    assert se_named("mobile", reduction=4).reduction == 4
    with pytest.raises(ValueError, match="Name a preset"):
        se_named("none", reduction=4)
    with pytest.raises(ValueError, match=r"default, none, paper.*Did you mean 'server'\?"):
        se_named("sever")
