import hashlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

from mobile.devices.agent.serve import MARK
from tests.mobile.craft import between_convolutions

GOOD = between_convolutions("ADD")
SHA256 = hashlib.sha256(GOOD).hexdigest()
ROOT = str(pathlib.Path(__file__).parents[4])
JOB = {"job": "probe", "models": [{"name": "m", "file": "0.tflite"}]}


class Far:
    """A far end that this test talks to."""

    def __init__(self, folder, agent):
        body = (
            "import sys; from mobile.devices.agent.serve import serve\n"
            f"sys.exit(serve([{sys.executable!r}, {str(agent)!r}], {str(folder / 'job')!r}))"
        )
        environment = {
            **os.environ,
            "PYTHONPATH": ROOT,
            "XDG_CACHE_HOME": str(folder / "cache"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", body], stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )

    def say(self, value, content=b""):
        self.process.stdin.write(json.dumps(value).encode() + b"\n" + content)
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        assert line.startswith(MARK), line
        return json.loads(line[len(MARK) :])

    def end(self):
        """Return the status and what was said to nobody, while our end is still open."""
        status = self.process.wait(20)
        return status, self.process.stderr.read().decode()


@pytest.fixture
def far(folder):
    end = Far(folder, folder / "agent.pyz")
    with end.process:
        yield end
        end.process.kill()


def test_job_is_done_and_the_end_is_quiet(far):
    far.say({"job": JOB, "files": {"0.tflite": SHA256, "again.tflite": SHA256}})
    assert far.hear() == {"missing": [SHA256]}  # once, under whatever names
    far.say(len(GOOD), GOOD)
    said = far.hear()
    assert said["result"]["models"]["m"]["partitions"] == 1
    assert far.hear() == {"done": True}
    assert far.end() == (0, "")


def test_worker_that_cannot_start_is_an_answer(folder):
    far = Far(folder, folder / "absent.pyz")
    with far.process:
        far.say({"job": JOB, "files": {}})
        far.hear()
        assert "No such file" in far.hear()["result"]["error"]
        assert far.hear() == {"done": True}
        assert far.end() == (0, "")


def test_damaged_file_is_a_fault(far):
    far.say({"job": JOB, "files": {"0.tflite": SHA256}})
    far.hear()
    far.say(len(GOOD), GOOD[:-1] + b"x")
    assert "did not arrive whole" in far.hear()["fault"]
    status, words = far.end()
    assert status == 1 and words.count("\n") == 1


def test_fault_while_listening_ends_without_another(far, folder):
    # The answer cannot be sent: nobody reads it. Our own end stays open, so the far one listens.
    far.say({"job": JOB, "files": {}})
    far.hear()
    far.process.stdout.close()
    status, words = far.end()
    assert status in (1, 120) and "BrokenPipeError" in words
    assert "Fatal Python error" not in words


def test_fingerprint_must_be_one(far):
    far.say({"job": JOB, "files": {"0.tflite": "../../letter"}})
    assert "plain name and a SHA-256" in far.hear()["fault"]
