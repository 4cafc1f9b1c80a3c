import pytest

from mobile import devices
from mobile.devices.adb import AdbDevice
from mobile.devices.native import NativeDevice
from mobile.devices.ssh import SshDevice


def test_word_becomes_a_device():
    assert isinstance(devices.connect("local"), devices.LocalDevice)
    assert isinstance(devices.connect("ssh:pi@board"), SshDevice)
    assert isinstance(devices.connect("adb"), AdbDevice)
    assert devices.connect("adb:0123").name == "adb:0123"
    assert devices.connect("ssh:pi@board").python == "python3"
    assert devices.connect("ssh:pi@board", python="python3.12").python == "python3.12"


def test_empty_name_of_a_python_is_not_taken_for_the_usual_one():
    """As of a variable of the shell that was not set."""
    assert devices.connect("ssh:pi@board", python="").python == ""
    assert devices.connect("adb", python="").python == ""
    with pytest.raises(devices.AgentError, match="'' must be a Python that starts"):
        devices.connect("local", python="").run({"job": "probe", "models": []}, {})


def test_unknown_device_is_refused_and_an_object_is_taken():
    for word in ("toaster", "ssh:", "local:1"):
        with pytest.raises(ValueError, match="one of: local"):
            devices.connect(word)
    mine = devices.LocalDevice()
    assert devices.connect(mine) is mine


def test_native_tool_must_be_a_file_and_stands_for_python(tmp_path):
    with pytest.raises(ValueError, match="must be a file on this machine"):
        devices.connect("adb", benchmark_model=tmp_path / "absent")
    with pytest.raises(ValueError, match="Give one of them"):
        devices.connect("adb", python="python3", benchmark_model=tmp_path)
    with pytest.raises(ValueError, match="must go with an adb device"):
        devices.connect("local", benchmark_model=tmp_path)
    tool = tmp_path / "tool"
    tool.touch()
    assert isinstance(devices.connect("adb", benchmark_model=tool), NativeDevice)
