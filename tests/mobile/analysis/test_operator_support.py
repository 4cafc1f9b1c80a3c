import pytest

from mobile import tflite
from mobile.analysis.operator_support import ACCELERATORS, Verdict, advice_on
from tests.mobile.craft import Craft, between_convolutions

SHAPE = (1, 8, 8, 4)


def judged(target, content, place):
    return ACCELERATORS[target].judge(tflite.read(content).operators[place])


@pytest.mark.parametrize(
    ("name", "custom", "ours", "words"),
    [
        ("HARD_SWISH", False, False, "mobile.convert writes it so from the Keras model; where"),
        ("HARD_SWISH", False, True, "Convert with target='xnnpack'"),
        ("GELU", False, True, "Train with ReLU"),
        ("GELU", False, False, "Train with ReLU"),
        ("FlexErf", True, False, "Convert without TensorFlow's operators"),
        ("MyOperator", True, False, "Link it into the program"),
        ("UNIQUE", False, True, "Replace the layer, or accept the cost"),
    ],
)
def test_advice_goes_by_the_operator_and_whose_file_it_is(name, custom, ours, words):
    said = advice_on(name, custom, ours)
    assert words in said
    assert ours or "target=" not in said  # who has no Keras model cannot convert it for another


def test_no_advice_is_to_lower_a_file():
    """A .tflite cannot be lowered: its Keras model can, and ours were."""
    names = {op for op in dir(tflite.schema.load().BuiltinOperator) if op.isupper()}
    for ours in (False, True):
        assert not any("lower" in advice_on(name, ours=ours).lower() for name in names)


@pytest.mark.parametrize(
    ("target", "kind", "dtype", "verdict"),
    [
        ("xnnpack", "ADD", "int8", "kept"),
        ("xnnpack", "ADD", "uint8", "kept"),
        ("xnnpack", "HARD_SWISH", "int8", "leaves"),
        ("xnnpack", "HARD_SWISH", "float32", "kept"),
        ("xnnpack", "TILE", "float32", "leaves"),
        ("coreml", "ADD", "int8", "leaves"),
        ("edgetpu", "ADD", "float32", "leaves"),
        ("ethos-u", "ADD", "float32", "leaves"),
        ("tflm", "ADD", "int8", "kept"),
        ("builtin", "ADD", "float32", "kept"),
    ],
)
def test_verdict_on_the_operator_in_the_middle(target, kind, dtype, verdict):
    place = {"ADD": 2}.get(kind, 1)  # after two convolutions, or one
    assert judged(target, between_convolutions(kind, dtype), place).status == verdict


def test_reason_of_its_own_has_advice_of_its_own():
    c = Craft()
    image = c.tensor(SHAPE, "image")
    six = c.op("CONCATENATION", [image] * 6, (1, 8, 8, 24), {"axis": 3})
    found = judged("xnnpack", c.build([image], [six]), 0)
    assert "at most 5 inputs" in found.reason and found.advice == "Concatenate in two steps."
    assert judged("xnnpack", between_convolutions("HARD_SWISH"), 1).advice == ""


def test_known_custom_operators_are_kept_in_float_alone():
    for dtype, status in (("float32", "kept"), ("int8", "leaves")):
        c = Craft(dtype)
        image = c.tensor(SHAPE, "image")
        content = c.build([image], [c.op("MaxUnpooling2D", [image], SHAPE)])
        assert judged("xnnpack", content, 0).status == status
        assert judged("gpu", content, 0).status == "kept"


def test_what_is_kept_says_who_says_so_and_nothing_else():
    for name in ACCELERATORS:
        found = judged(name, between_convolutions("MUL"), 2)
        if found.status == "kept":
            assert found == Verdict("kept", source=found.source) and found.source
