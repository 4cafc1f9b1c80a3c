import ast
import inspect
import subprocess
import sys

import pytest

import mobile
from mobile import quantization
from mobile.pipeline import keras_files


def test_import_loads_nothing_heavy():
    code = (
        "import sys, mobile; "
        "print(sorted({'keras', 'tensorflow', 'numpy', 'ai_edge_litert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_records_load_without_tensorflow_or_keras():
    code = (
        "import sys, mobile.benchmarking.benchmark, mobile.analysis.linting; "
        "print(sorted({'keras', 'tensorflow', 'ai_edge_litert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "missing", "extra"),
    [
        ("report", "msgspec", "device"),
        ("Ranges", "msgspec", "mobile"),
        ("tflite", "numpy", "device"),
    ],
)
def test_a_package_that_is_not_installed_is_said_in_one_sentence(name, missing, extra):
    """As after `pip install keras-se` without any extra."""
    code = f"import sys; sys.modules[{missing!r}] = None; import mobile; mobile.{name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: mobile.{name} needs {missing!r}. Received: no module of that name. "
        f"Run `pip install 'keras-se[{extra}]'`."
    )


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"mean benchmark.*benchmark, calibrate, convert"):
        _ = mobile.benchmrak
    with pytest.raises(AttributeError, match=r"'xyz'\. It has Ablation, Agreement"):
        _ = mobile.xyz


def test_dir_shows_functions_and_modules():
    assert {"convert", "lower", "tflite", "Artifact"} <= set(dir(mobile))


def test_editors_are_told_every_name_and_its_true_home():
    """The imports under TYPE_CHECKING are those that __getattr__ makes."""
    module = ast.parse(inspect.getsource(mobile))
    block = next(node for node in module.body if isinstance(node, ast.If))
    told = {line.names[0].name: line.module for line in block.body}
    assert set(told) == {*mobile._HOMES, *mobile._FOLDERS}
    for name, home in told.items():
        assert home == (f"mobile.{mobile._HOMES[name]}" if name in mobile._HOMES else "mobile")
        assert getattr(mobile, name) is not None


def test_loading_a_model_knows_every_layer_though_nothing_else_was_imported(quantized, tmp_path):
    path = keras_files.save(quantized, tmp_path / "qat.keras")
    code = (
        f"import sys, mobile; assert 'keras' not in sys.modules; model = mobile.load({str(path)!r})"
        "; print({type(layer).__name__ for layer in model.layers})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "FakeQuantize" in done.stdout
    assert mobile.load is keras_files.load


@pytest.mark.parametrize("before", ["import keras, mobile", "import mobile, keras; mobile.lower"])
def test_keras_loads_a_model_with_our_layers_once_both_are_imported(quantized, tmp_path, before):
    path = str(keras_files.save(quantized, tmp_path / "qat.keras"))
    code = f"{before}; print(type(keras.models.load_model({path!r}).layers[-1]).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "FakeQuantize"


def test_rooms_with_heavy_insides_import_without_keras():
    """As --help needs: what they offer comes when it is asked for."""
    code = (
        "import sys, mobile.lowering.targets, mobile.quantization, mobile.cli; "
        "print(sorted({'keras', 'tensorflow', 'ai_edge_litert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert quantization.calibrate.__module__ == "mobile.quantization.calibration"
    with pytest.raises(AttributeError, match="no attribute 'calibrat'"):
        _ = quantization.calibrat
