"""What an Arm Ethos-U would take, by Arm's own compiler: an estimate, no measurement."""

import csv
import importlib.util
import math
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from mobile import tflite
from mobile.record import Amount, Count, Record, table
from mobile.tflite.content import content_of

ACCELERATORS = (
    *(f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)),
    *(f"ethos-u65-{macs}" for macs in (256, 512)),
    *(f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)),
)
INSTALL = "pip install 'keras-se[estimate]'"

_ON_CPU = re.compile(r"^ +CPU: .+? = (.*) \(outputs .*\)$", re.MULTILINE)
_REASON = re.compile(
    r"^Warning \(supported operators\) operator: \S+, ofm: '(.*)'\nReason: (.*)$", re.MULTILINE
)


@dataclass(frozen=True)
class CpuOperator(Record):
    """An operator that the accelerator does not take, the tensor it makes, and why."""

    operator: str
    makes: str
    reason: str = ""


@dataclass(frozen=True)
class Estimate(Record):
    """What Vela estimates of a file; `str` gives a table.

    Args:
        name: Name of the model.
        accelerator: As in `ACCELERATORS`.
        milliseconds: One inference, at `clock_mhz`, of the accelerator's part alone.
        cycles: Clock cycles of the same.
        clock_mhz: The accelerator's clock.
        sram_bytes: Working memory on the chip.
        dram_bytes: Working memory off the chip.
        flash_bytes: Weights and commands in flash, where the assumed system has it.
        compiled_bytes: Length of the file that Vela makes, which the device must store.
        macs: Multiply-adds that the accelerator does.
        operators: How many operators the file has.
        cpu_operators: Those that run on the CPU beside the accelerator, which is not estimated.
        system: The system and memory that were assumed, as Vela names them.
        compiler: Vela and its version.
        waits: Cycles that each part needs by itself, such as `npu` or `off_chip_flash`: the largest
            is what limits.
    """

    name: str
    accelerator: str
    milliseconds: Amount
    cycles: Count
    clock_mhz: Amount
    sram_bytes: Count
    dram_bytes: Count
    flash_bytes: Count
    compiled_bytes: Count
    macs: Count
    operators: Count
    cpu_operators: tuple[CpuOperator, ...] = ()
    system: str = ""
    compiler: str = ""
    waits: dict[str, Count] = field(default_factory=dict)

    def __str__(self):
        rows = [
            ("one inference", f"{self.milliseconds:.3f} ms at {self.clock_mhz:.0f} MHz"),
            ("cycles", f"{self.cycles:,}"),
            *((f"  {part}", f"{cycles:,}") for part, cycles in self.waits.items() if cycles),
            ("multiply-adds", f"{self.macs:,}"),
            ("SRAM", f"{self.sram_bytes / 1024:.1f} KiB"),
            ("DRAM", f"{self.dram_bytes / 1024:.1f} KiB"),
            ("flash", f"{self.flash_bytes / 1024:.1f} KiB"),
            ("compiled file", f"{self.compiled_bytes / 1024:.1f} KiB"),
            ("operators on the CPU", f"{len(self.cpu_operators)} of {self.operators}"),
            ("assumed", self.system),
            ("estimated by", self.compiler),
        ]
        rows = [(what, value) for what, value in rows if value != "0.0 KiB"]
        text = table((f"{self.name}, estimate", self.accelerator), rows)
        listed = [(op.operator, op.makes, op.reason) for op in self.cpu_operators]
        if listed:
            text += "\n\n" + table(("on the CPU, not estimated", "makes", "why"), listed)
        return text


def estimate(
    model: Any, accelerator: str = "ethos-u55-256", name: str = "model", timeout: float = 600
) -> Estimate:
    """Estimate a model on an Ethos-U with Vela, Arm's compiler. Nothing is measured.

    Args:
        model: An `Artifact`, the bytes of a .tflite, or a path. What is not int8, uint8 or int16
            falls to the CPU; `mobile.convert(..., target="ethos-u")` makes what suits best.
        accelerator: One of `ACCELERATORS`: the last number is its multiply-adds a cycle.
        name: What the result is called.
        timeout: Seconds that Vela may take.

    Returns:
        An `Estimate`.

    Raises:
        ValueError: The accelerator is unknown, the file is no .tflite, or Vela refuses it.
        ImportError: Vela is not installed.
        RuntimeError: Vela took too long.
    """
    check(accelerator)
    content = content_of(model)
    file = tflite.read(content)
    with tempfile.TemporaryDirectory(prefix="keras-se-") as folder:
        folder = pathlib.Path(folder)
        (folder / "model.tflite").write_bytes(content)
        said = _vela(folder, accelerator, name, timeout)
        summary = next(folder.glob("out/*summary*.csv"), None)
        if summary is None:
            raise ValueError(_refused(name, accelerator, "it wrote no summary"))
        with open(summary, newline="") as rows:
            figures = list(csv.DictReader(rows))[-1]
        compiled = sum(path.stat().st_size for path in folder.glob("out/*.tflite"))
    return _estimate(name, accelerator, figures, said, file, compiled)


def check(accelerator: str) -> None:
    """Raise unless the accelerator is known and Vela is there."""
    if accelerator not in ACCELERATORS:
        raise ValueError(
            f"`accelerator` must be one of {', '.join(ACCELERATORS)}. Received: "
            f"accelerator={accelerator!r}. For a common one pass 'ethos-u55-256'."
        )
    find_vela()


def _vela(folder, accelerator, name, timeout):
    """Run Vela in a process of its own; return what it said."""
    command = [*find_vela(), "model.tflite", "--accelerator-config", accelerator]
    command += ["--output-dir", "out", "--show-cpu-operations"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(
            f"Vela must answer within {timeout} s. Received: none for {name} on {accelerator}. "
            f"Pass a longer `timeout`."
        ) from None
    if done.returncode:
        raise ValueError(_refused(name, accelerator, _complaint(done.stderr or done.stdout)))
    return done.stdout + done.stderr


def _complaint(text):
    """Return what follows the last `Error:` of a process's output, or its last line."""
    text = text.strip() or "nothing"
    said = text.rpartition("Error: ")[2] if "Error: " in text else text.splitlines()[-1]
    return " ".join(said.split())[:300].rstrip(" .,")


def _refused(name, accelerator, why):
    return (
        f"Vela must compile the file. Received: {name} for {accelerator}, of which it says: {why}. "
        f"See `keras-se lint --target ethos-u`, and convert with target='ethos-u'."
    )


def find_vela() -> list[str]:
    """Return the command that starts Vela, as a list."""
    try:
        if importlib.util.find_spec("ethosu.vela.__main__"):
            return [sys.executable, "-m", "ethosu.vela"]
    except ImportError:
        pass
    if found := shutil.which("vela"):
        return [found]
    raise ImportError(
        f"Estimates need Arm's compiler Vela. Received: no package ethos-u-vela. "
        f"Install it with: {INSTALL}"
    )


def _estimate(name, accelerator, figures, said, file, compiled):
    """Make the record of one row of Vela's summary and its list of CPU operators."""

    def number(word):
        value = float(figures[word])
        return value if math.isfinite(value) else 0.0

    def kibibytes(*words):
        return round(1024 * sum(number(f"{word}_memory_used") for word in words))

    parts = ("npu", "sram_access", "dram_access", "on_chip_flash_access", "off_chip_flash_access")
    reasons = dict(_REASON.findall(said))
    makers = {t.name: op for op in file.operators for t in op.outputs}
    on_cpu = [
        CpuOperator(
            f"{makers[made].name} {makers[made].dtype}" if made in makers else "?",
            made,
            reasons.get(made, ""),
        )
        for made in _ON_CPU.findall(said)
    ]
    return Estimate(
        name=name,
        accelerator=accelerator,
        milliseconds=1e3 * number("inference_time"),
        cycles=int(number("cycles_total")),
        clock_mhz=number("core_clock") / 1e6,
        sram_bytes=kibibytes("sram"),
        dram_bytes=kibibytes("dram"),
        flash_bytes=kibibytes("on_chip_flash", "off_chip_flash"),
        compiled_bytes=compiled,
        macs=int(number("nn_macs")),
        operators=len(file.operators),
        cpu_operators=tuple(on_cpu),
        system=f"{figures['system_config']}, {figures['memory_mode']}",
        compiler=_version(),
        waits={part.removesuffix("_access"): int(number(f"cycles_{part}")) for part in parts},
    )


def _version():
    try:
        return f"Vela {metadata.version('ethos-u-vela')}"
    except metadata.PackageNotFoundError:
        return "Vela"
