"""State dicts of timm's and torchvision's own networks, where these are installed.

pip install torch timm torchvision
KERAS_BACKEND=torch pytest tests/keras_se/test_timm_torchvision.py -m slow
"""

import importlib.util
import re

import keras
import numpy as np
import pytest

from keras_se import TIMM, models, weights
from keras_se.state_dicts import SOURCES

if not all(importlib.util.find_spec(package) for package in ("timm", "torchvision")):
    pytest.skip("timm and torchvision are not both installed", allow_module_level=True)
torch = pytest.importorskip("torch", reason="timm and torchvision are written in torch")
pytestmark = pytest.mark.slow


def build_theirs(package, name):
    try:
        importlib.import_module(package)
    except (ImportError, RuntimeError) as error:  # not here, or without its compiled part
        pytest.skip(f"{package} cannot be imported here: {error}")
    if package == "timm":
        import timm

        return timm.create_model(name, pretrained=False)
    return getattr(importlib.import_module("torchvision.models"), name)(weights=None)


def randomize(module):
    """Give every BatchNorm statistics as training leaves them: neither 0 nor 1."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(part.running_mean, 0, 0.2)
            torch.nn.init.uniform_(part.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(part.weight, 0.5, 1.0)
            torch.nn.init.normal_(part.bias, 0, 0.2)
    return module.eval()


def twin_of(source):
    """Return `(package, our name, settings)` of a network of timm or torchvision."""
    tv = source.startswith("mobilenet_v3") or source in ("resnet50", "resnext50_32x4d")
    package = "torchvision" if tv else "timm"
    if match := re.fullmatch(r"(tf_)?mobilenetv3_(small|large)(_minimal)?_(\d+)", source):
        tf, size, minimal, width = match.groups()
        name = f"mobilenet_v3_{size}" + ("_minimalistic" if minimal else "")
        return package, name, {"padding": "same" if tf else "symmetric", "width": int(width) / 100}
    if tv and "mobilenet" in source:
        return package, source, {"padding": "symmetric"}
    legacy = source.startswith("legacy_")
    name = source.removeprefix("legacy_").replace("seres", "se_res")
    settings = {"pool": "end" if legacy else "symmetric"}
    settings["stride_in"] = "1x1" if legacy and "se_resnet" in name else "3x3"
    return package, name, settings | ({"se": TIMM} if name.startswith("se") else {})


@pytest.mark.parametrize("source", SOURCES)
def test_every_network_that_is_claimed_computes_what_it_computes_at_home(
    tmp_path, write_safetensors, source
):
    package, name, settings = twin_of(source)
    theirs = randomize(build_theirs(package, source))
    model = models.build(
        name, input_shape=(96, 96, 3), classifier_activation=None, preprocessing=False, **settings
    )
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    write_safetensors(tmp_path / "w.safetensors", state)
    loaded = weights.load(model, tmp_path / "w.safetensors", source=source)
    assert not loaded.fresh and not loaded.unused
    x = np.random.default_rng(0).normal(size=(2, 96, 96, 3)).astype("float32")
    with torch.no_grad():
        expected = theirs(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
    error = np.abs(keras.ops.convert_to_numpy(model(x)) - expected).max()
    assert error <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("theirs", "ours", "advice"),
    [
        ("legacy_seresnet18", "se_resnet18", "seresnet18"),
        ("resnetblur18", "resnet18", "smooth before they stride"),
        ("mobilenetv3_small_100", "mobilenet_v3_small", "pad symmetrically"),
        ("tf_mobilenetv3_small_100", "mobilenet_v3_small", "pad symmetrically"),
    ],
)
def test_networks_with_the_same_names_are_asked_for(
    tmp_path, write_safetensors, theirs, ours, advice
):
    state = {k: v.numpy() for k, v in build_theirs("timm", theirs).state_dict().items()}
    write_safetensors(tmp_path / "w.safetensors", state)
    settings = {"se": TIMM} if "resnet" in ours else {}
    with pytest.raises(ValueError, match=advice):
        weights.load(models.build(ours, **settings), tmp_path / "w.safetensors")
