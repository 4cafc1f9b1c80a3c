import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from mobile import devices
from mobile.analysis import operator_support
from mobile.analysis.linting import LintReport, lint
from mobile.tflite.artifact import Artifact
from tests.mobile.craft import (
    Craft,
    between_convolutions,
    pooled_and_unpooled,
    transposed_with_bias,
)

SHARED = pathlib.Path(__file__).parents[4] / "shared" / "data" / "tflite"
SHAPE = (1, 8, 8, 4)
CRAFTED = [
    "ADD",
    "MUL",
    "SUB",
    "DIV",
    "MAXIMUM",
    "MINIMUM",
    "SQUARED_DIFFERENCE",
    "MEAN",
    "SUM",
    "REDUCE_MAX",
    "REDUCE_MIN",
    "MAX_POOL_2D",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "PAD",
    "RESHAPE",
    "TRANSPOSE",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
    "DEPTH_TO_SPACE",
    "STRIDED_SLICE",
    "SPLIT",
    "TILE",
    "PRELU",
    "LEAKY_RELU",
    "SOFTMAX",
    "RELU",
    "RELU6",
    "HARD_SWISH",
    "LOGISTIC",
    "TANH",
    "GELU",
    "ABS",
    "EXP",
    "ELU",
    "SQRT",
    "NEG",
    "RSQRT",
    "SLICE",
    "SPACE_TO_DEPTH",
    "MIRROR_PAD",
    "DEPTHWISE_CONV_2D",
    "TRANSPOSE_CONV",
    "LOG",
    "SIGN",
    "RELU_N1_TO_1",
    "RELU_0_TO_1",
]


def shared(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_xnnpack_table_says_what_the_installed_runtime_does(dtype):
    """One probe process for all files: what the table says must be what the delegate did."""
    device = devices.connect("local")
    entries, files = [], {}
    for number, kind in enumerate(CRAFTED):
        entry, packed = devices.pack(kind, between_convolutions(kind, dtype), [], str(number))
        entries.append(entry)
        files |= packed
    found = device.run({"job": "probe", "models": entries}, files).result["models"]
    wrong = {}
    for kind in CRAFTED:
        said = lint(between_convolutions(kind, dtype), verify=False)
        if said.partitions != found[kind]["partitions"]:
            wrong[kind] = (said.partitions, found[kind]["partitions"])
    assert not wrong


def two_inputs(kind, scale):
    """`kind` of two convolutions of scale 0.05, between convolutions; its output has `scale`."""
    c = Craft()
    image = c.tensor(SHAPE, "image")
    a, b = c.conv(image, SHAPE, 4), c.conv(image, SHAPE, 4, seed=1)
    y = c.op(kind, [a, b], SHAPE, scale=scale, name="sum")
    c.scale = scale
    kernel = c.constant(np.ones((4, 1, 1, 4)), "int8", scale=0.01, zero_point=0)
    bias = c.constant(np.zeros(4), scale=0.01 * scale, zero_point=0)
    options = {"strideW": 1, "strideH": 1}
    return c.build([image], [c.op("CONV_2D", [y, kernel, bias], SHAPE, options, scale=scale)])


@pytest.mark.parametrize(
    "kind, scale, kept",
    [
        ("ADD", 0.05 / 255, True),  # input scale / output scale = 255
        ("ADD", 0.05 / 256, False),
        ("SUB", 0.05 * 2**10, True),
        ("SUB", 0.05 * 2**10.1, False),
        ("MUL", 0.05 * 0.05 / 255, True),
        ("MUL", 0.05 * 0.05 / 257, False),
    ],
)
def test_scales_that_xnnpack_leaves_are_those_that_the_runtime_leaves(kind, scale, kept):
    content = two_inputs(kind, scale)
    assert lint(content, verify=False).ok == kept
    assert devices.partitions(content) == (1 if kept else 2)


def requantized(scale):
    c = Craft(scale=0.05)
    image = c.tensor(SHAPE, "image")
    kernel = c.constant(np.ones((4, 1, 1, 4)), "int8", scale=0.01)
    bias = c.constant(np.zeros(4), scale=0.0005)
    options = {"strideW": 1, "strideH": 1}
    conv = c.op("CONV_2D", [image, kernel, bias], SHAPE, options, scale=scale, name="squeeze/conv")
    return c.build([image], [conv])


def test_convolution_that_makes_the_whole_file_fail_is_named():
    assert lint(requantized(0.0005 / 255)).ok
    report = lint(requantized(0.0005 / 300))
    (finding,) = report.findings
    assert (finding.verdict, finding.where) == ("refused", ("squeeze/conv",))
    assert "is 300, not below 256" in finding.reason
    assert report.partitions == 0 and not report.ok
    assert "failed to load" in report.notes[-1]


def test_refused_file_of_a_stranger_is_explained():
    report = lint(shared("mobilenet_v3_small_ptq_xnnpack_rejects.tflite"))
    refused = [finding for finding in report.findings if finding.verdict == "refused"]
    assert [finding.indices for finding in refused] == [(56,)]
    assert any("Node number 122" in note for note in report.notes)


@pytest.mark.parametrize(
    "name", ["mobilenet_v2_uint8.tflite", "mobilenet_v3_small_qat_uint8.tflite"]
)
def test_partitions_are_counted_as_the_runtime_counts_them(name):
    path = shared(name)
    assert lint(path, verify=False).partitions == lint(path).partitions
    assert lint(path).checked_by.startswith("ai_edge_litert")
    assert lint(path).notes == ()


def test_finding_says_where_why_what_it_costs_and_what_to_do():
    report = lint(between_convolutions("HARD_SWISH"))
    (finding,) = report.findings
    assert (finding.operator, finding.count, finding.partitions_saved) == ("HARD_SWISH int8", 1, 1)
    assert "no int8 kernel" in finding.reason and "RELU6" in finding.advice
    assert "litert 2" in finding.source
    text = str(report)
    assert "2 of 3 operators kept, in 2 partitions" in text and "+1" in text


def test_advice_of_a_finding_goes_by_whose_file_it_is():
    content = between_convolutions("HARD_SWISH")
    (stranger,) = lint(content, verify=False).findings
    (ours,) = lint(Artifact.from_content(content, "int8"), verify=False).findings
    assert "from the Keras model; where there is none, accept the cost" in stranger.advice
    assert "Convert with target='xnnpack'" in ours.advice


@pytest.mark.parametrize("make", [transposed_with_bias, pooled_and_unpooled])
def test_operators_of_mediapipe_are_kept_as_the_runtime_keeps_them(make):
    assert lint(make(), verify=False).partitions == devices.partitions(make()) == 1
    assert lint(make()).ok and lint(make()).notes == ()


def test_file_that_the_runtime_alone_refuses_is_advised_without_its_lowering():
    c = Craft("float32")
    x = c.tensor((1, 4), "x")
    content = c.build([x], [c.op("RESHAPE", [x, c.constant([1, 5])], (1, 5))])  # 4 into 5
    report = lint(content)
    (finding,) = (f for f in report.findings if f.verdict == "refused")
    assert "no rule here says at which operator" in finding.reason
    assert "Convert the Keras model with mobile.convert" in finding.advice


def test_last_softmax_costs_no_partition():
    c = Craft()
    image = c.tensor(SHAPE, "image")
    x = c.conv(image, SHAPE, 4)
    y = c.op("SOFTMAX", [x], SHAPE, {"beta": 1.0}, scale=1 / 256, zero_point=-128)
    (finding,) = lint(c.build([image], [y])).findings
    assert finding.partitions_saved == 0


def test_report_goes_to_json_and_back():
    report = lint(between_convolutions("GELU"), "edgetpu")
    assert LintReport.from_json(report.to_json()) == report


def test_unknown_target_lists_the_known():
    with pytest.raises(ValueError, match="xnnpack, gpu, coreml, edgetpu, ethos-u, tflm, builtin"):
        lint(between_convolutions("ADD"), "dsp")


@pytest.mark.parametrize(
    "target, kind, dtype, verdict",
    [
        ("gpu", "HARD_SWISH", "float32", None),
        ("gpu", "UNIQUE", "float32", "leaves"),
        ("coreml", "HARD_SWISH", "float32", None),
        ("coreml", "GELU", "float32", "leaves"),
        ("coreml", "MEAN", "int8", "leaves"),
        ("edgetpu", "HARD_SWISH", "int8", "leaves"),
        ("edgetpu", "MEAN", "int8", None),
        ("edgetpu", "MEAN", "float32", "leaves"),
        ("ethos-u", "HARD_SWISH", "int8", None),
        ("ethos-u", "FLOOR", "int8", "leaves"),
        ("tflm", "HARD_SWISH", "int8", None),
        ("tflm", "GELU", "int8", "refused"),
        ("tflm", "SQRT", "int8", "refused"),
        ("tflm", "SQRT", "float32", None),
        ("tflm", "RELU", "uint8", "unknown"),
        ("builtin", "HARD_SWISH", "int8", None),
        ("xnnpack", "BROADCAST_TO", "int8", "unknown"),
    ],
)
def test_verdicts_of_the_tables(target, kind, dtype, verdict):
    report = lint(between_convolutions(kind, dtype), target, verify=False)
    found = [f for f in report.findings if f.operator.startswith(kind)]
    assert [f.verdict for f in found] == ([verdict] if verdict else [])
    assert all(f.source or f.verdict == "unknown" for f in report.findings)


def test_unknown_does_not_count_as_leaving_but_is_said():
    report = lint(between_convolutions("BROADCAST_TO"), verify=False)
    assert report.ok and "1 unknown" in str(report)


def test_custom_operators_leave_every_accelerator():
    c = Craft()
    image = c.tensor(SHAPE, "image")
    content = c.build([image], [c.op("FlexErf", [image], SHAPE, name="Erf")])
    for target in operator_support.ACCELERATORS:
        assert not lint(content, target, verify=False).ok, target


def test_edge_tpu_takes_only_what_comes_before_the_first_that_leaves():
    report = lint(between_convolutions("HARD_SWISH"), "edgetpu")
    assert report.partitions == 1
    assert "1 of the operators that could be kept come after" in report.notes[0]


def test_ethos_u_table_is_velas_own(tmp_path):
    pytest.importorskip("ethosu.vela")
    vela = [sys.executable, "-c", "from ethosu.vela.vela import main; main()"]
    command = [*vela, "--supported-ops-report"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / "SUPPORTED_OPS.md").read_text()
    text = text.split("Ethos-U65 TFLite Summary Table")[1].split("## ")[0]
    assert set(re.findall(r"^\| ([A-Z0-9_]+) \|", text, re.MULTILINE)) == operator_support._ETHOS


def test_tflm_table_is_what_the_installed_interpreter_runs():
    pytest.importorskip("tflite_micro")
    code = """
import sys
import numpy as np
from tflite_micro import runtime
from tests.mobile.craft import between_convolutions
for kind in sys.argv[1:]:
    try:
        interpreter = runtime.Interpreter.from_bytes(between_convolutions(kind))
        interpreter.set_input(np.zeros((1, 8, 8, 4), np.int8), 0)
        interpreter.invoke()
        print("runs", kind)
    except RuntimeError:
        pass
"""
    command = [sys.executable, "-c", code, *CRAFTED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    runs = set(re.findall(r"^runs (\w+)$", done.stdout, re.MULTILINE))
    assert runs == {kind for kind in CRAFTED if lint(between_convolutions(kind), "tflm").ok}


def test_command_exits_with_1_only_if_strict_and_something_leaves(tmp_path):
    from typer.testing import CliRunner

    import mobile.cli  # noqa: F401  registers the commands
    from mobile.cli.app import app

    kept, left = tmp_path / "kept.tflite", tmp_path / "left.tflite"
    kept.write_bytes(between_convolutions("ADD"))
    left.write_bytes(between_convolutions("GELU"))
    for path, flags, status in ((left, [], 0), (left, ["--strict"], 1), (kept, ["--strict"], 0)):
        done = CliRunner().invoke(app, ["lint", str(path), *flags])
        assert done.exit_code == status, done.output
    assert "4 of 4 operators kept, in 1 partition" in done.output
