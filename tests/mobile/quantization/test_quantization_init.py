import subprocess
import sys

import pytest

from mobile import quantization
from mobile.pipeline import options


def test_the_choices_are_read_without_keras():
    code = (
        "import sys; from mobile.quantization import ENGINES, METHODS; "
        "print(ENGINES[0], METHODS[0], sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["keras", "mse", "[]"]


@pytest.mark.parametrize("method", quantization.METHODS)
def test_a_run_takes_every_method(method):
    assert options.decide(None, {"method": method})[1].method == method


@pytest.mark.parametrize("first", ["lower", "convert", "quantize_aware", "verify", "train"])
def test_a_saved_model_loads_whichever_part_came_first(quantized, tmp_path, first):
    quantized.save(tmp_path / "qat.keras")
    code = (
        f"import keras, mobile; mobile.{first}; "
        f"print(keras.models.load_model({str(tmp_path / 'qat.keras')!r}).output_names)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['softmax']"
