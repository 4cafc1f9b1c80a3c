import pathlib

import pytest

from tests.mobile.benchmarking.toy import CONDITIONS, ToyDevice, forever
from tests.mobile.craft import between_convolutions

SHARED = pathlib.Path(__file__).parents[4] / "shared" / "data" / "tflite"


@pytest.fixture
def toy():
    seconds = {
        "add": forever(0.001, 0.003, 0.002),
        "mul": forever(0.004),
        "add (again)": forever(0.001, 0.003, 0.002),
    }
    return ToyDevice(seconds, dict(CONDITIONS))


@pytest.fixture(scope="module")
def models():
    return {"add": between_convolutions("ADD"), "mul": between_convolutions("MUL")}


@pytest.fixture(scope="session")
def google():
    """Google's int8 files by name."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there")
    return {path.stem: path.read_bytes() for path in SHARED.glob("*_uint8.tflite")}
