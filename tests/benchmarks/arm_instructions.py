"""How many instructions an int8 network needs on 64-bit Arm, before and after lowering.

    python tests/benchmarks/arm_instructions.py [NETWORK ...] [--root FOLDER] [--cpu cortex-a76]
        [--json FILE]

Each NETWORK (as in int8_speed.py) is converted by TFLiteConverter itself, and lowered for `xnnpack`
and for `builtin`. The agent runs the files on emulated Arm under LiteRT, whose XNNPACK
delegate takes int8, and under tflite-runtime, which has no int8 delegate. A QEMU plugin counts;
instructions of an inference are (those of a process with 3 - those of one with 1) / 2, so that
start-up and loading cancel. They are no latency: caches and memory do not count.

Also compared are the outputs with those of this machine. Under the reference kernels they must be
equal to the bit. Under LiteRT's own choice they nearly always are: XNNPACK's MEAN on Arm rounds a
value near a tie otherwise than on x86, by 1, and the layers behind enlarge that. (The builtin
convolution does so in every image, in 0.05 % of its values, so it is not compared.)

It ends with status 1 where the file lowered for a runtime needs more instructions there than the
plain one, or where the reference kernels' outputs differ. Where the emulated machine cannot be made
(arm_root.sh says what it needs) it says so and ends.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import keras
import numpy as np
from int8_speed import build, load_images
from targets import plain_int8

import mobile
from mobile import devices
from mobile.record import table, write_file

NETWORKS = ("mobilenet_v3_small", "mobilenet_v2", "efficientnet_b0")
# Runtime, and the target to lower for it.
RUNTIMES = {"litert": "xnnpack", "tflite-runtime": "builtin"}
VARIANTS = ("plain", "xnnpack", "builtin")
FEW, MANY = 1, 3


def main():
    """Make the emulated machine, convert, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS, metavar="NETWORK")
    parser.add_argument(
        "--root",
        type=pathlib.Path,
        default=pathlib.Path.home() / ".cache" / "keras-se" / "arm",
        help="folder of the emulated machine, made where it is missing (350 MB)",
    )
    parser.add_argument("--cpu", default="cortex-a76", help="cortex-a76 or cortex-a72")
    parser.add_argument("--images", type=int, default=64, help="how many to calibrate on")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if not all(map(shutil.which, ("apt-get", "dpkg", "gcc"))):
        print("Left out: the emulated Arm machine is made of Debian packages.", file=sys.stderr)
        return 0
    machine = make_machine(arguments.root, arguments.cpu)
    images, source = load_images(arguments.images, 224)
    rows = []
    for name in arguments.networks:
        print(f"{name}: building and converting", file=sys.stderr)
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        model, weights = build(name, images)
        artifacts = {"plain": mobile.Artifact.from_content(plain_int8(model, images), "int8")}
        for target in VARIANTS[1:]:
            artifacts[target] = mobile.convert(model, calibration=images, target=target)
        for runtime in RUNTIMES:
            print(f"{name}: counting under {runtime}", file=sys.stderr)
            for variant, artifact in artifacts.items():
                figures = count(arguments.root / runtime, artifact, images[:MANY])
                rows.append(
                    {"network": name, "weights": weights, "runtime": runtime, "variant": variant}
                    | figures
                )
    print(f"\n{summary(rows)}\n\n{machine}; {source}, int8, one thread")
    faults = faults_of(rows)
    print("\n".join(faults) or "Lowered for its runtime, no network needs more than plain.")
    if arguments.json:
        said = {"machine": machine, "images": source, "rows": rows, "faults": faults}
        write_file(arguments.json, json.dumps(said, indent=1))
    return 1 if faults else 0


def make_machine(root, cpu):
    """Run arm_root.sh, which prints what it does; return its last line, without the paths."""
    script = pathlib.Path(__file__).with_name("arm_root.sh")
    lines = []
    with subprocess.Popen(
        ["sh", script, root, cpu],
        env={**os.environ, "PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            print(line, end="", file=sys.stderr)
            lines.append(line)
    if process.returncode:
        raise SystemExit(f"{script.name} must succeed. Received: status {process.returncode}.")
    return lines[-1].rsplit(":", 1)[0]


def count(python, artifact, images):
    """Return instructions per inference, and how outputs differ from those of this machine."""
    inputs = artifact.prepare(images)
    few, _, _ = run(python, artifact, inputs[:FEW])
    many, outputs, version = run(python, artifact, inputs)
    _, reference, _ = run(python, artifact, inputs[:1], "reference")
    expected = devices.predict(artifact, inputs[:1], "reference")[0]
    figures = {
        "runtime_version": version,
        "instructions": (many - few) // (MANY - FEW),
        "reference_equal": bool(np.array_equal(reference, expected)),
    }
    if python.name == "litert":  # this machine has that runtime
        here = devices.predict(artifact, inputs)[0]
        figures["worst_lsb"] = int(np.abs(outputs.astype(int) - here).max())
    return figures


def run(python, artifact, inputs, kernels="default"):
    """Run the agent under a Python of the emulated machine: instructions, outputs, version."""
    model, files = devices.pack("model", artifact, [inputs])
    job = {"job": "predict", "models": [model], "kernels": kernels}
    with tempfile.TemporaryDirectory() as folder:
        counted = pathlib.Path(folder) / "instructions"
        os.environ["INSTRUCTIONS"] = str(counted)
        answer = devices.connect(python=python).run(job, files)
        (name,) = answer.result["outputs"]["model"].values()
        version = answer.result["runtime_version"]
        return int(counted.read_text()), answer.array(name), version


def summary(rows):
    """Return the table: millions of instructions, ratios to plain, equality."""
    lines = []
    for network, runtime in dict.fromkeys((row["network"], row["runtime"]) for row in rows):
        found = select(rows, network, runtime)
        counts = [found[variant]["instructions"] for variant in VARIANTS]
        worst = [found[v].get("worst_lsb") for v in VARIANTS]
        lines.append(
            [network, f"{runtime} {found['plain']['runtime_version']}"]
            + [f"{number / 1e6:.2f}" for number in counts]
            + [f"{number / counts[0]:.3f}" for number in counts[1:]]
            + [" / ".join(str(lsb) for lsb in worst) if None not in worst else "-"]
            + [" / ".join("yes" if found[v]["reference_equal"] else "NO" for v in VARIANTS)]
        )
    header = ["10^6 instructions per inference", "runtime", *VARIANTS]
    header += ["xnnpack/plain", "builtin/plain", "worst LSB, Arm against here", "reference equal"]
    return table(header, lines)


def faults_of(rows):
    """Return a line for each fact that should hold and does not."""
    faults = []
    for network, runtime in dict.fromkeys((row["network"], row["runtime"]) for row in rows):
        found, target = select(rows, network, runtime), RUNTIMES[runtime]
        before, after = found["plain"]["instructions"], found[target]["instructions"]
        if after > before:
            faults.append(
                f"{network} lowered for {target} must not need more instructions than plain under "
                f"{runtime}. Received: {after} to {before}."
            )
        faults += [
            f"The reference kernels must give equal outputs on Arm and here. Received: others for "
            f"{network}, {variant}, {runtime}. Try another --cpu: QEMU may compute wrongly."
            for variant, row in found.items()
            if not row["reference_equal"]
        ]
    return faults


def select(rows, network, runtime):
    """Return the rows of one network and runtime by variant."""
    return {
        row["variant"]: row
        for row in rows
        if (row["network"], row["runtime"]) == (network, runtime)
    }


if __name__ == "__main__":
    sys.exit(main())
