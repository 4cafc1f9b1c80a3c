import os
import pathlib
import subprocess
import sys

from mobile.devices.agent import boot
from mobile.devices.archive import archive

SOURCE = pathlib.Path(boot.__file__).read_bytes()
READ = "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))"


def start(words, folder, python=sys.executable):
    """Boot with what comes on standard input, which then ends."""
    command = [sys.executable, "-c", READ, str(len(SOURCE)), str(len(archive())), python]
    environment = {**os.environ, "TMPDIR": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run(
        command, input=SOURCE + words, env=environment, capture_output=True, check=False
    )


def left(folder):
    return list(folder.glob("keras-se-*"))


def test_archive_cut_short_leaves_nothing(tmp_path):
    done = start(archive()[:1000], tmp_path)
    assert done.returncode == 1 and left(tmp_path) == []


def test_end_before_the_job_leaves_nothing(tmp_path):
    done = start(archive(), tmp_path)
    assert done.returncode == 1 and left(tmp_path) == []
    assert b"Traceback" not in done.stderr


def test_folder_is_for_this_user_alone(tmp_path):
    watch = b"import os, tempfile\nreal = tempfile.mkdtemp\n"
    watch += b"def mkdtemp(**k):\n path = real(**k)\n print(oct(os.stat(path).st_mode))\n"
    watch += b" return path\ntempfile.mkdtemp = mkdtemp\n"
    command = [sys.executable, "-c", READ, str(len(watch + SOURCE)), "0", "python3"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        command, input=watch + SOURCE, env=environment, capture_output=True, check=False
    )
    assert done.stdout.strip() == b"0o40700"
