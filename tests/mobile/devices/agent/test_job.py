import json

import pytest

from mobile.devices.agent.job import fault_of, kernels_of, row_name

PAIR = '[{"name": "a", "file": "0.tflite"}, {"name": "a", "file": "1.tflite"}]'


@pytest.mark.parametrize(
    ("job", "complaint"),
    [
        ("null", "JSON object"),
        ("[]", "JSON object"),
        ("{}", "probe, predict, check, benchmark"),
        ('{"job": "time"}', "Received: 'time'"),
        ('{"job": "prob"}', "Received: 'prob'"),
        ('{"job": "probe"}', '"models" must be'),
        ('{"job": "check", "models": [{"name": "a"}]}', '"models" must be'),
        (f'{{"job": "check", "models": {PAIR}}}', "Received: 'a' twice"),
        ('{"job": "benchmark", "models": []}', '"runs" must be a number'),
        ('{"job": "benchmark", "models": [], "runs": 1}', '"warmups" must be a number'),
        ('{"job": "probe", "models": [], "threads": "all"}', '"threads" must be a number'),
    ],
)
def test_bad_job_is_told_in_one_line(job, complaint):
    said = fault_of(json.loads(job))
    assert complaint in said and "\n" not in said


def test_whole_job_has_no_fault():
    assert fault_of({"job": "benchmark", "models": [], "runs": 1, "warmups": 0}) is None
    assert fault_of({"job": "check", "models": [{"name": "a", "file": "0.tflite"}]}) is None


def test_kernels_of_a_model_win_over_those_of_the_job():
    assert kernels_of({"kernels": "builtin"}, {"kernels": "reference"}) == "builtin"
    assert kernels_of({}, {"kernels": "reference"}) == "reference"
    assert kernels_of({}, {}) == "default"


def test_row_of_a_model_never_takes_the_name_of_another():
    assert row_name("a", "again", {"a", "a (again)", "a (again, 2)"}) == "a (again, 3)"
