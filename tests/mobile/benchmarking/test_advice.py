import dataclasses

import pytest

from mobile import tflite
from mobile.benchmarking import advice
from mobile.benchmarking.timings import Conditions, ModelTimings, Timings
from mobile.tflite.artifact import Artifact
from tests.mobile.craft import Craft, between_convolutions

QUIET = Conditions(
    "local", "x86_64", "A CPU", "ai_edge_litert", "2.3.0", 1, 8, 2, pinned_cores=(1,)
)


def model(name, *times, partitions=1, **kw):
    return ModelTimings(name, times * 8 if len(times) == 1 else times, partitions, 1000, **kw)


def found(*models, contents=None, delegates=None, **conditions):
    timings = Timings(models, dataclasses.replace(QUIET, **conditions), (models[0].name,))
    return advice.find(timings, contents, delegates)


def test_a_quiet_machine_gives_no_note():
    quiet = {"frequency_mhz": (1500.0, 1510.0), "temperature_c": (40.0, 45.0)}
    assert found(model("a", 1.0), model("b", 1.02, control_of="a"), **quiet) == ()
    assert found(model("a", 1.0), governor="performance") == ()


def test_disturbed_control_is_told_with_its_ratio():
    (note,) = found(model("a", 1.0), model("b", 1.5, control_of="a"))
    assert "a against itself gave 1.500 [1.500, 1.500], not 1" in note
    assert "raise `runs` (now 8)" in note


def test_wide_spread_is_told_once_for_the_widest():
    # 1 2 3 4 5: quartiles 2 and 4, median 3: (4 - 2) / 3
    (note,) = found(model("a", 9.0, 10, 11, 12, 13), model("b", 1.0, 2, 3, 4, 5))
    assert "runs of b spans 67% of its median" in note


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"pinned_cores": ()}, "Pass `cores`"),
        ({"governor": "powersave"}, "'powersave'"),
        ({"temperature_c": (40.0, 60.0)}, "from 40 to 60 degrees"),
        ({"frequency_mhz": (2000.0, 1500.0)}, "from 2000 to 1500 MHz"),
    ],
)
def test_each_condition_is_told_with_its_number(condition, words):
    (note,) = found(model("a", 1.0), **condition)
    assert words in note


def test_int8_slower_than_its_float_twin_is_told():
    contents = {
        "mobile int8": between_convolutions("ADD"),
        "mobile float32": between_convolutions("ADD", "float32"),
        "server int8": between_convolutions("ADD"),
        "server float32": between_convolutions("ADD", "float32"),
    }
    times = (2.0, 1.0, 0.5, 1.0)
    models = [model(name, time) for name, time in zip(contents, times, strict=True)]
    (note,) = found(*models, contents=contents)
    assert note.startswith("mobile int8 takes 2.000 [2.000, 2.000] times as long as mobile float32")


def convolution(channels, dtype):
    c = Craft(dtype)
    image = c.tensor((1, 8, 8, 4), "image")
    return c.build([image], [c.conv(image, (1, 8, 8, 4), channels)])


def test_files_of_one_network_are_told_by_their_weights_whatever_they_are_called():
    """`a int8` is no twin of `a float32` here: the user swapped the names."""
    contents = {
        "a int8": convolution(64, "int8"),
        "b int8": convolution(80, "int8"),
        "a float32": convolution(80, "float32"),
        "b float32": convolution(64, "float32"),
    }
    models = [model(name, time) for name, time in zip(contents, (2.0, 2.0, 1.0, 4.0), strict=True)]
    (note,) = found(*models, contents=contents)
    assert note.startswith("b int8 takes 2.000 [2.000, 2.000] times as long as a float32")


def test_files_of_other_networks_are_not_compared():
    contents = {
        "one int8": convolution(64, "int8"),
        "two int8": convolution(80, "int8"),
        "one float32": convolution(100, "float32"),
    }
    models = [model(name, time) for name, time in zip(contents, (2.0, 2.0, 1.0), strict=True)]
    assert found(*models, contents=contents) == ()


@pytest.mark.parametrize(
    ("kind", "partitions", "words"),
    [
        ("ADD", 1, "this processor gains nothing from integers here. Ship float, or measure on"),
        ("HARD_SWISH", 2, "What the delegate does not take costs that: see the note on it"),
        ("ADD", 0, "What the delegate does not take costs that: see the note on it"),
        ("ADD", None, "`keras-se lint` says what leaves the delegate"),
    ],
)
def test_advice_on_slow_integers_goes_by_where_the_time_goes(kind, partitions, words):
    contents = {"new": between_convolutions(kind), "old": between_convolutions("ADD", "float32")}
    first, *_ = found(
        model("new", 2.0, partitions=partitions), model("old", 1.0), contents=contents
    )
    assert words in first and "Lower" not in first


def test_a_lone_pair_needs_no_common_name():
    contents = {
        "new": between_convolutions("ADD"),
        "old": between_convolutions("ADD", "float32"),
    }
    (note,) = found(model("new", 1.1), model("old", 1.0), contents=contents)
    assert note.startswith("new takes 1.100")


def test_operators_outside_the_delegate_are_named_with_advice():
    content = between_convolutions("HARD_SWISH")  # XNNPACK refuses it in int8
    (note,) = found(model("a", 1.0, partitions=2), contents={"a": content})
    assert note.startswith("a: the delegate takes 2 pieces and leaves 1 of 3 operators: ")
    assert "HARD_SWISH int8 (1)" in note
    assert "ADD with a fused RELU6" in note


def test_advice_on_what_leaves_goes_by_whose_file_it_is():
    """A stranger's file cannot be lowered, and ours was: the one for another target."""
    content = between_convolutions("HARD_SWISH")
    ours = Artifact.from_content(content, "int8").content
    (note,) = found(model("a", 1.0, partitions=2), contents={"a": content})
    assert "writes it so from the Keras model; where there is none, accept the cost" in note
    (note,) = found(model("a", 1.0, partitions=2), contents={"a": ours})
    assert note.endswith("Convert with target='xnnpack', which writes it so.")


def test_files_of_ours_and_of_strangers_have_a_note_each():
    content = between_convolutions("HARD_SWISH")
    contents = {"a": content, "b": Artifact.from_content(content, "int8").content}
    models = [model(name, 1.0, partitions=2) for name in contents]
    assert len(found(*models, contents=contents)) == 2


def test_what_the_device_delegated_goes_before_the_tables():
    content = between_convolutions("HARD_SWISH")
    file = tflite.read(content)
    everything = [
        {
            "inputs": file.subgraphs[0].input_indices,
            "outputs": [file.operators[-1].outputs[0].index],
        }
    ]
    delegates = {"a": everything}
    assert found(model("a", 1.0), contents={"a": content}, delegates=delegates) == ()


def test_nothing_delegated_is_told_once_for_all_such_models():
    content = between_convolutions("ADD")
    models = model("a", 1.0, partitions=0), model("b", 1.0, partitions=0)
    (note,) = found(*models, contents={"a": content, "b": content})
    # two convolutions, ADD, convolution
    assert "none of the 4 operators of a, b" in note and "`keras-se lint` says why" in note
    (note,) = found(*models, contents={"a": content}, runtime="tflite_runtime")
    assert note.endswith(
        "tflite_runtime delegates float alone: run `pip install ai-edge-litert` there."
    )
    assert found(*models, contents={"a": content, "b": content}, kernels="builtin") == ()


def test_a_file_that_does_not_read_keeps_its_times():
    assert found(model("a", 1.0, partitions=3), contents={"a": b"mutilated"}) == ()


@pytest.mark.parametrize(("dtype", "kind"), [("int8", "int8"), ("float32", "float")])
def test_kind_is_what_the_heavy_operators_compute_in(dtype, kind):
    assert advice.kind(tflite.read(between_convolutions("ADD", dtype))) == kind
