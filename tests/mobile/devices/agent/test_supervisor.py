import pathlib

import pytest

from mobile.devices.agent import supervisor
from mobile.devices.agent.supervisor import Supervisor, last_words

MODEL = {"name": "m", "file": "0.tflite", "inputs": ["in.npy"]}
BENCHMARK = {"job": "benchmark", "models": [MODEL], "runs": 3, "warmups": 1, "threads": 1}
SHARED = pathlib.Path(__file__).parents[5] / "shared" / "data" / "tflite"
REJECTED = SHARED / "mobilenet_v3_small_ptq_xnnpack_rejects.tflite"


def test_control_is_a_second_copy_of_a_model(one, ask):
    _, result = ask({**BENCHMARK, "control": "m"})
    assert list(result["models"]) == ["m", "m (again)"]
    row = result["models"]["m (again)"]
    assert (row["of"], row["control_of"], row["fallback_of"]) == ("m", "m", None)
    assert len(row["times_ms"]) == 3


def test_control_leaves_a_model_of_its_name_alone(one, ask):
    models = [MODEL, {**MODEL, "name": "m (again)"}]
    _, result = ask({**BENCHMARK, "models": models, "control": "m"})
    controls = {name: row["control_of"] for name, row in result["models"].items()}
    assert controls == {"m": None, "m (again)": None, "m (again, 2)": "m"}


def test_broken_files_cost_their_own_rows(one, ask):
    whole = (one / "0.tflite").read_bytes()
    contents = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "good": whole,
    }
    for name, content in contents.items():
        (one / f"{name}.tflite").write_bytes(content)
    (one / "folder.tflite").mkdir()
    names = [*contents, "folder", "absent"]
    models = [{**MODEL, "name": name, "file": f"{name}.tflite"} for name in names]
    status, result = ask({**BENCHMARK, "models": models})
    assert status == 0 and list(result["models"]) == ["good"]
    assert [failure["name"] for failure in result["failures"]] == [n for n in names if n != "good"]
    assert {failure["stage"] for failure in result["failures"]} == {"load"}


@pytest.mark.skipif(not REJECTED.exists(), reason=f"{REJECTED} is not there")
def test_row_without_delegate_says_whose_it_is_whatever_the_names(one, ask):
    (one / "1.tflite").write_bytes(REJECTED.read_bytes())
    models = [
        {**MODEL, "name": "a (without delegate)"},
        {"name": "a", "file": "1.tflite"},
    ]
    job = {**BENCHMARK, "models": models, "fallback": True, "control": "a"}
    _, result = ask(job)
    rows = result["models"]
    assert {
        name: (row["of"], row["fallback_of"], row["control_of"]) for name, row in rows.items()
    } == {
        "a (without delegate)": ("a (without delegate)", None, None),
        "a (without delegate, 2)": ("a", "a", None),
        "a (without delegate, 2) (again)": ("a", "a", "a (without delegate, 2)"),
    }
    assert [row["kernels"] for row in rows.values()] == ["default", "builtin", "builtin"]
    assert all(len(row["times_ms"]) == 3 for row in rows.values())
    (failure,) = result["failures"]
    assert failure["name"] == "a" and "see 'a (without delegate, 2)'" in failure["message"]


def test_python_that_is_not_there_is_a_failure_to_start(tmp_path):
    result = Supervisor({"job": "probe", "models": []}, str(tmp_path), ["no-such-python"]).run()
    assert result["error"] == (
        "'no-such-python' must be a Python that starts. Received: No such file or directory. "
        "Name another with `python`."
    )
    assert (result["stage"], result["model"]) == ("start", None)


def test_how_a_process_ended_is_told_in_words():
    assert supervisor._ending(-11) == "the runtime was killed by SIGSEGV"
    assert "memory runs out" in supervisor._ending(-9)
    assert supervisor._ending(3) == "it left with status 3 and no answer"


def test_last_words_are_without_the_chatter():
    assert last_words(b"INFO: a\none\n\ntwo\nWARNING: b\nthree\nfour\n") == "two / three / four"
    assert last_words(b"INFO: a\n") == "it said nothing"
