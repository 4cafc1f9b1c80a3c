import importlib.util
import subprocess
import sys

import pytest

from mobile.analysis import vela as room
from mobile.analysis.vela import CpuOperator, Estimate, estimate
from tests.mobile.craft import between_convolutions

# The columns that are read, of what Vela 5.2.0 wrote for between_convolutions("HARD_SWISH").
SUMMARY = {
    "core_clock": "500000000.0",
    "inference_time": "2.336e-06",
    "sram_memory_used": "0.53125",
    "dram_memory_used": "0.0",
    "on_chip_flash_memory_used": "0.0",
    "off_chip_flash_memory_used": "0.453125",
    "nn_macs": "2048",
    "cycles_npu": "1168",
    "cycles_sram_access": "552",
    "cycles_dram_access": "0",
    "cycles_on_chip_flash_access": "0",
    "cycles_off_chip_flash_access": "144",
    "cycles_total": "1168",
    "system_config": "Ethos_U55_High_End_Embedded",
    "memory_mode": "Shared_Sram",
}
SAID = """
Warning (supported operators) operator: HARD_SWISH, ofm: 'tensor_4'
Reason: it was not liked

CPU operators = 1 (33.3%)
   CPU: Passthrough = tensor_4 (outputs [1, 8, 8, 4])
NPU operators = 2 (66.7%)
   NPU: Conv2D = before (outputs [1, 8, 8, 4])
"""


@pytest.fixture
def vela(monkeypatch):
    """A Vela that writes SUMMARY; returns the calls, and `answer` to change what it does."""

    class Vela:
        calls, said, returncode, late = [], SAID, 0, False

        def run(self, command, cwd, timeout, **kw):
            self.calls.append(command)
            if self.late:
                raise subprocess.TimeoutExpired(command, timeout)
            if not self.returncode:
                out = cwd / "out"
                out.mkdir()
                rows = [",".join(SUMMARY), ",".join(SUMMARY.values())]
                (out / "model_summary_x.csv").write_text("\n".join(rows))
                (out / "model_vela.tflite").write_bytes(bytes(4096))
            return subprocess.CompletedProcess(command, self.returncode, self.said, "")

    fake = Vela()
    monkeypatch.setattr(room, "find_vela", lambda: ["vela"])
    monkeypatch.setattr(room.subprocess, "run", fake.run)
    return fake


def test_figures_come_from_the_summary(vela):
    found = estimate(between_convolutions("HARD_SWISH"), "ethos-u55-256", name="toy")
    assert found.milliseconds == pytest.approx(2.336e-3)
    assert found.cycles / (found.clock_mhz * 1e3) == pytest.approx(found.milliseconds)
    assert (found.clock_mhz, found.macs) == (500, 2048)
    assert found.sram_bytes == 544  # 0.53125 KiB
    assert found.flash_bytes == 464
    assert found.compiled_bytes == 4096
    assert found.waits["off_chip_flash"] == 144
    assert vela.calls[0][:4] == ["vela", "model.tflite", "--accelerator-config", "ethos-u55-256"]


def test_operators_on_the_cpu_are_named_with_the_reason(vela):
    found = estimate(between_convolutions("HARD_SWISH"))
    assert found.cpu_operators == (CpuOperator("HARD_SWISH int8", "tensor_4", "it was not liked"),)
    assert found.operators == 3


def test_table_says_estimate_clock_and_assumptions(vela):
    text = str(estimate(between_convolutions("HARD_SWISH"), name="toy"))
    assert text.startswith("toy, estimate")
    assert "0.002 ms at 500 MHz" in text
    assert "0.5 KiB" in text
    assert "DRAM" not in text  # none is used
    assert "Ethos_U55_High_End_Embedded, Shared_Sram" in text
    assert "on the CPU, not estimated" in text


def test_estimate_goes_to_json_and_back(vela):
    found = estimate(between_convolutions("HARD_SWISH"))
    assert Estimate.from_json(found.to_json()) == found


def test_unknown_accelerator_lists_the_known_ones():
    with pytest.raises(ValueError, match="ethos-u85-2048"):
        estimate(between_convolutions("ADD"), "ethos-u99")


def test_what_is_no_tflite_never_reaches_vela(vela):
    with pytest.raises(ValueError, match="TFL3"):
        estimate(b"no model at all")
    assert not vela.calls


def test_missing_vela_names_the_install_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(room.shutil, "which", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'keras-se\[estimate\]'"):
        estimate(between_convolutions("ADD"))


def test_refusal_quotes_what_vela_said(vela):
    vela.returncode, vela.said = 1, "something\nRuntimeError: no: Error: too\n - strange,\n"
    with pytest.raises(ValueError, match=r"it says: too - strange\. See"):
        estimate(between_convolutions("ADD"), name="toy")


def test_vela_that_hangs_is_given_up(vela):
    vela.late = True
    with pytest.raises(RuntimeError, match="within 5 s"):
        estimate(between_convolutions("ADD"), timeout=5)


@pytest.mark.skipif(not importlib.util.find_spec("ethosu"), reason="ethos-u-vela is not installed")
@pytest.mark.parametrize("accelerator", ["ethos-u55-32", "ethos-u65-512", "ethos-u85-256"])
def test_the_true_vela_answers(accelerator):
    assert room.find_vela()[0] == sys.executable
    quantized = estimate(between_convolutions("HARD_SWISH"), accelerator)
    assert quantized.cpu_operators == ()  # a lookup there
    # two 1x1 convolutions over 8x8 positions, 4 to 4 and 4 to 3 channels: 1024 + 768, beside what
    # it counts for the lookup
    assert quantized.macs >= 1024 + 768
    assert quantized.milliseconds == pytest.approx(quantized.cycles / quantized.clock_mhz / 1e3)
    real = estimate(between_convolutions("ADD", "float32"), accelerator)
    assert [op.operator for op in real.cpu_operators].count("CONV_2D float32") == 3
    assert "Float32" in real.cpu_operators[0].reason
