import json
import subprocess
import sys

import numpy as np
import pytest

from mobile.devices.archive import archive
from tests.mobile.craft import between_convolutions


@pytest.fixture
def folder(tmp_path):
    """A folder with one model, two images for it, and the agent."""
    (tmp_path / "0.tflite").write_bytes(between_convolutions("HARD_SWISH"))
    (tmp_path / "agent.pyz").write_bytes(archive())
    np.save(tmp_path / "in.npy", np.zeros((2, 8, 8, 4), np.int8))
    return tmp_path


@pytest.fixture
def one(folder):
    """The same with one image."""
    np.save(folder / "in.npy", np.zeros((1, 8, 8, 4), np.int8))
    return folder


@pytest.fixture
def ask(folder):
    """Return a function that has the agent do a job: exit status and result."""

    def do(job):
        (folder / "job.json").write_text(json.dumps(job))
        command = [sys.executable, folder / "agent.pyz", folder / "job.json"]
        done = subprocess.run(command, capture_output=True, check=False)
        return done.returncode, json.loads((folder / "result.json").read_text())

    return do
