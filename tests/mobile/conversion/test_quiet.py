import logging
import os
import subprocess
import sys

import pytest

from mobile.conversion.quiet import quiet


def test_what_c_code_and_python_write_meanwhile_is_kept_off():
    code = """
import os, sys, warnings
from mobile.conversion.quiet import quiet
with quiet():
    os.write(2, b"from C++")
    print("from Python", end="", file=sys.stderr)
    warnings.warn("advice")
print("afterwards", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "afterwards\n"


def test_errors_pass_and_all_is_put_back(capfd):
    logger = logging.getLogger("tensorflow")
    before = logger.level, dict(os.environ), len(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyError), quiet():
        raise KeyError("x")
    assert (logger.level, dict(os.environ), len(os.listdir("/proc/self/fd"))) == before
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_it_imports_nothing_heavy():
    code = "import sys, mobile.conversion.quiet; print({'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
