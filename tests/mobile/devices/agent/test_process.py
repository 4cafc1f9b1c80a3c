import os
import subprocess
import sys

import pytest

from mobile.devices.agent.process import memory_bytes

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def run(body):
    """Run lines in a process of their own, which they may limit; return what they print."""
    head = "import os; from mobile.devices.agent.process import *\n"
    return subprocess.check_output([sys.executable, "-c", head + body], text=True).strip()


@linux
def test_process_keeps_to_the_last_cores_or_those_named():
    cores = sorted(os.sched_getaffinity(0))
    assert run("print(pin({'threads': 1}))") == f"[{cores[-1]}]"
    assert run("print(pin({'threads': None}))") == f"[{cores[-1]}]"
    assert run(f"print(pin({{'cores': [{cores[0]}]}}))") == f"[{cores[0]}]"


@linux
def test_core_that_is_not_there_pins_nothing():
    assert run("print(pin({'cores': [4000]}))") == "[]"


@linux
def test_memory_is_the_most_that_was_held_since_the_reset():
    before = memory_bytes(reset=True)
    block = bytearray(64 << 20)
    block[:: 1 << 12] = bytes(len(block) >> 12)  # touches each page
    del block
    assert memory_bytes() - before > 60 << 20


@linux
def test_more_than_the_limit_cannot_be_had():
    body = (
        "print(limit_memory({'memory_bytes': 100_000_000}))\n"
        "try: bytearray(200_000_000)\nexcept MemoryError: print('none left')"
    )
    assert run(body) == "100 MB\nnone left"
