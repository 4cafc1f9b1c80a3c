import pytest

from mobile.devices import benchmark_model

TABLE = "\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t"
TABLE += "[times called]\t[Name]"
TEXT = f"""INFO: STARTING!
INFO: Graph: [model.tflite]
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: Initialized session in 3.5ms.
INFO: count=20 first=2500 curr=2000 min=1900 max=2500 avg=2100 std=90

INFO: count=10 first=2000 curr=2010 min=1980 max=2100 avg=2004.5 std=30 p5=1980 median=2001 p95=2100

INFO: Inference timings in us: Init: 3500, First inference: 2500, \
Warmup (avg): 2100, Inference (avg): 2004.5
INFO: Memory footprint delta from the start of the tool (MB): init=4 overall=8.5
INFO: Overall peak memory footprint (MB) via periodic monitoring: 12.5
INFO: Profiling Info for Benchmark Initialization:
============================== Run Order ==============================
{TABLE}
\t  AllocateTensors\t    0.900\t    0.900\t100.000%\t100.000%\t     0.000\t        1\tAll/0

INFO: Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
{TABLE}
\t  TfLiteXNNPackDelegate\t    1.250\t    1.200\t 60.000%\t 60.000%\t     0.000\t        1\t[]:3
\t  HARD_SWISH\t    0.800\t    0.750\t 37.500%\t 97.500%\t     0.000\t        1\t[a b;c]:1
\t  TfLiteXNNPackDelegate\t    0.050\t    0.050\t  2.500%\t100.000%\t     0.000\t        1\t[out]:4

============================== Top by Computation Time ==============================
{TABLE}
\t  TfLiteXNNPackDelegate\t    1.250\t    1.200\t 60.000%\t 60.000%\t     0.000\t        1\t[]:3
"""


def test_times_memory_and_profile_are_read():
    found = benchmark_model.parse(TEXT)
    assert (found["load_ms"], found["first_ms"], found["mean_ms"]) == (3.5, 2.5, 2.0045)
    assert found["peak_memory_bytes"] == 12.5 * 1024 * 1024
    assert found["partitions"] == 2
    assert found["profile"] == [
        {"name": "[]:3", "kind": "TfLiteXNNPackDelegate", "mean_ms": 1.2},
        {"name": "[a b;c]:1", "kind": "HARD_SWISH", "mean_ms": 0.75},
        {"name": "[out]:4", "kind": "TfLiteXNNPackDelegate", "mean_ms": 0.05},
    ]


def test_older_tools_have_another_column_and_no_prefix():
    text = TEXT.replace("INFO: ", "").replace("\t  [first]", "\t          [start]\t  [first]")
    text = text.replace("%\t     0.000", "%\t     0.000").replace(
        "\t    0.800", "\t 1.3\t    0.800"
    )
    text = text.replace("\t    1.250", "\t 0.0\t    1.250").replace(
        "\t    0.050\t", "\t 9\t 0.05\t"
    )
    assert [row["mean_ms"] for row in benchmark_model.parse(text)["profile"]] == [1.2, 0.75, 0.05]


def test_large_means_come_in_scientific_notation():
    text = TEXT.replace("Inference (avg): 2004.5", "Inference (avg): 2.95034e+06")
    assert benchmark_model.parse(text)["mean_ms"] == 2950.34


def test_what_the_tool_does_not_say_is_none():
    text = "Inference timings in us: Init: 1, First inference: 2, Warmup (avg): 3, "
    text += "Inference (avg): 4"
    found = benchmark_model.parse(text)
    assert (found["partitions"], found["peak_memory_bytes"], found["profile"]) == (None, None, [])
    assert benchmark_model.parse("ERROR: Failed to load model") is None


def test_pieces_are_those_that_the_tool_counts():
    line = "the model graph will be partially executed by the delegate w/ 7 delegate kernels."
    assert benchmark_model.parse(line + TEXT)["partitions"] == 7
    line = "the model graph will be completely executed by the delegate."
    assert benchmark_model.parse(line + TEXT)["partitions"] == 1


def test_arguments_name_inputs_and_shapes():
    words = benchmark_model.arguments("m", 5, 2, 4, "builtin", True, {"a": (1, 8), "b": (2,)})
    assert "--input_layer=a,b" in words and "--input_layer_shape=1,8:2" in words
    assert "--num_threads=4" in words and "--use_xnnpack=false" in words
    assert "--enable_op_profiling=true" in words
    with pytest.raises(ValueError, match="use the agent under Python"):
        benchmark_model.arguments("m", 5, 2, 4, "reference")
