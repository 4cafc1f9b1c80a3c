import subprocess
import sys

import pytest

import mobile


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


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="benchmark, calibrate, convert"):
        _ = mobile.benchmrak


def test_dir_shows_functions_and_modules():
    assert {"convert", "lower", "tflite", "Artifact"} <= set(dir(mobile))
