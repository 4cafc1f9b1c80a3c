import types

import numpy as np
import pytest

from mobile.devices.agent import runtime


class Interpreter:
    """The side of a runtime's interpreter that takes inputs."""

    def __init__(self, **shapes):
        self.shapes, self.held = shapes, {}

    def get_input_details(self):
        return [
            {"index": number, "name": name, "shape": shape, "dtype": np.int8}
            for number, (name, shape) in enumerate(self.shapes.items())
        ]

    def set_tensor(self, index, array):
        self.held[index] = array


def test_missing_runtime_says_what_to_install(ask):
    model = {"name": "m", "file": "0.tflite"}
    status, result = ask({"job": "probe", "models": [model], "runtime": "no_such_runtime"})
    assert status == 1
    assert "pip install ai-edge-litert" in result["error"]
    assert (result["stage"], result["model"]) == ("import a runtime", None)


def test_first_runtime_that_works_is_taken(monkeypatch):
    monkeypatch.setattr(runtime, "RUNTIMES", ("no_such_runtime", "ai_edge_litert"))
    assert runtime.find_runtime({})["name"] == "ai_edge_litert"


def test_without_inputs_the_model_gets_zeros():
    interpreter = Interpreter(a=(1, 2), b=(3,))
    runtime.set_inputs(interpreter, None)
    assert [x.tolist() for x in interpreter.held.values()] == [[[0, 0]], [0, 0, 0]]


def test_number_and_kind_of_inputs_must_fit():
    with pytest.raises(ValueError, match=r"2 inputs\. Received: 1 arrays\. Pass one for each"):
        runtime.set_inputs(Interpreter(a=(1,), b=(1,)), [np.zeros(1, np.int8)])
    with pytest.raises(TypeError, match=r"'a' holds int8\. Received: float32\. Quantise"):
        runtime.set_inputs(Interpreter(a=(1,)), [np.zeros(1, np.float32)])


def test_batch_is_the_first_length_of_the_first_input():
    assert runtime.batch_of(Interpreter(a=(4, 8, 8, 3))) == 4
    assert runtime.batch_of(Interpreter(a=())) == 1


def test_runtime_that_does_not_tell_its_operators_has_no_delegates():
    assert runtime.delegates_of(object()) is None
    said = [
        {"op_name": "CONV_2D", "inputs": [0], "outputs": [1]},
        {"op_name": "DELEGATE", "inputs": [1, 2], "outputs": [3]},
    ]
    told = types.SimpleNamespace(_get_ops_details=lambda: said)
    assert runtime.delegates_of(told) == [{"inputs": [1, 2], "outputs": [3]}]
