import subprocess
import sys

from mobile.devices.agent.beat import STAGES, Beat


def test_new_beat_tells_nothing(tmp_path):
    assert Beat(str(tmp_path / "beat")).read() == (STAGES.index("start"), 0, 0)


def test_what_a_process_told_outlives_it(tmp_path):
    path = str(tmp_path / "beat")
    beat = Beat(path)
    body = (
        "import os, sys; from mobile.devices.agent.beat import Beat\n"
        "beat = Beat(sys.argv[1]); beat.tell('load', 1); beat.tell('run', 2); os.abort()"
    )
    subprocess.run([sys.executable, "-c", body, path], check=False, capture_output=True)
    assert beat.read() == (STAGES.index("run"), 2, 2)
