import os
import platform

from mobile.devices.agent import machine


def test_processors_are_told_by_name_and_kind():
    assert machine.cpu_name("model name\t: Fast 9\nmodel name\t: Fast 9\n") == "Fast 9"
    big_little = "CPU part\t: 0xd05\n" * 4 + "CPU part\t: 0xd0b\n" * 2
    assert machine.cpu_name(big_little) == "4 Cortex-A55 + 2 Cortex-A76"
    assert machine.cpu_name("CPU part\t: 0x123\n") == "0x123"


def test_unknown_processor_is_what_the_platform_says():
    assert machine.cpu_name("") == (platform.processor() or platform.machine())


def test_absent_file_is_none_and_padding_goes(tmp_path):
    assert machine.read(str(tmp_path / "absent")) is None
    (tmp_path / "model").write_bytes(b"Board 5\0\n")
    assert machine.read(str(tmp_path / "model")) == "Board 5"


def test_what_drifts_is_listed_from_each_reading():
    readings = [
        {"load": 0.5, "frequency_mhz": None, "temperature_c": 40.0},
        {"load": 1.5, "frequency_mhz": None, "temperature_c": 45.0},
    ]
    said = machine.conditions({"name": "r", "version": "1"}, [3], readings)
    assert (said["load"], said["frequency_mhz"]) == ([0.5, 1.5], [])
    assert said["temperature_c"] == [40.0, 45.0]
    assert (said["runtime"], said["runtime_version"], said["pinned_cores"]) == ("r", "1", [3])
    assert said["cores"] == os.cpu_count()
