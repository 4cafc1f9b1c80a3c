"""What the agent may be made of, since devices have neither this package nor a new Python."""

import ast
import pathlib
import shutil
import subprocess
import sys

import pytest

from mobile.devices import agent
from mobile.devices.archive import archive

MODULES = sorted(pathlib.Path(agent.__file__).parent.glob("*.py"))


def test_modules_need_the_standard_library_numpy_and_each_other_alone():
    assert len(MODULES) > 10
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert {n.split(".")[0] for n in names} <= {*sys.stdlib_module_names, "numpy"}, path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_syntax_is_that_of_python_3_9(path):
    ast.parse(path.read_text(), feature_version=(3, 9))


@pytest.fixture
def usage(tmp_path):
    """Return a function that asks the agent for its usage under another Python."""

    def do(version):
        python = f"python{version}"
        if not shutil.which(python) or subprocess.run([python, "-V"], check=False).returncode:
            pytest.skip(f"{python} is not there")
        (tmp_path / "agent.pyz").write_bytes(archive())
        command = [python, tmp_path / "agent.pyz", "--help"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return do


def test_python_3_9_runs_it(usage):
    done = usage("3.9")
    assert done.returncode == 0 and done.stderr.startswith("usage: python agent.pyz")


def test_older_python_is_told_what_is_needed(usage):
    done = usage("3.8")
    assert done.returncode == 1 and done.stderr.startswith("Python must be 3.9 or newer. Received:")
