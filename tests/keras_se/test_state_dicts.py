"""State dicts of timm's and torchvision's own networks, where these are installed.

pip install torch timm torchvision && pytest tests/keras_se/test_state_dicts.py -m slow
"""

import importlib

import numpy as np
import pytest

from keras_se import TIMM, models, weights

torch = pytest.importorskip("torch", reason="timm and torchvision are written in torch")
pytestmark = pytest.mark.slow


def build_theirs(package, name):
    try:
        importlib.import_module(package)
    except (ImportError, RuntimeError) as error:  # torchvision without its compiled part
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


_RESNET = {"se": TIMM, "stride_in": "3x3", "pool": "symmetric"}
_LEGACY = {"se": TIMM, "stride_in": "3x3", "pool": "end"}
_V3 = {"padding": "symmetric"}


@pytest.mark.parametrize(
    ("package", "theirs", "ours", "settings"),
    [
        ("timm", "seresnet50", "se_resnet50", _RESNET),
        ("timm", "seresnext50_32x4d", "se_resnext50_32x4d", _RESNET),
        ("timm", "legacy_seresnet50", "se_resnet50", _LEGACY | {"stride_in": "1x1"}),
        ("timm", "legacy_seresnext50_32x4d", "se_resnext50_32x4d", _LEGACY),
        ("timm", "legacy_senet154", "senet154", _LEGACY),
        ("timm", "mobilenetv3_small_100", "mobilenet_v3_small", _V3),
        ("timm", "mobilenetv3_large_100", "mobilenet_v3_large", _V3),
        ("torchvision", "mobilenet_v3_small", "mobilenet_v3_small", _V3),
        ("torchvision", "mobilenet_v3_large", "mobilenet_v3_large", _V3),
    ],
)
def test_a_network_computes_what_it_computes_at_home(
    tmp_path, write_safetensors, package, theirs, ours, settings
):
    source = randomize(build_theirs(package, theirs))
    model = models.build(
        ours, input_shape=(96, 96, 3), classifier_activation=None, preprocessing=False, **settings
    )
    state = {key: value.numpy() for key, value in source.state_dict().items()}
    write_safetensors(tmp_path / "w.safetensors", state)
    loaded = weights.load(model, tmp_path / "w.safetensors")
    assert not loaded.fresh and not loaded.unused
    x = np.random.default_rng(0).normal(size=(2, 96, 96, 3)).astype("float32")
    with torch.no_grad():
        expected = source(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
    error = np.abs(np.asarray(model(x)) - expected).max()
    assert error <= 1e-4 * np.abs(expected).max()
