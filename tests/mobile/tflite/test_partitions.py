import pytest

from mobile import devices, tflite
from mobile.tflite.partitions import count_partitions, delegated
from tests.mobile.craft import Craft, between_convolutions

SHAPE = (1, 8, 8, 4)


def test_partitions_of_parallel_branches_are_merged():
    """Two branches with a refused operator each: both run between the same two pieces."""
    c = Craft()
    image = c.tensor(SHAPE, "image")
    x = c.conv(image, SHAPE, 4)
    a, b = c.op("HARD_SWISH", [x], SHAPE), c.op("GELU", [x], SHAPE)
    content = c.build([image], [c.conv(c.op("ADD", [a, b], SHAPE), SHAPE, 3)])
    file = tflite.read(content)
    kept = {op.index for op in file.operators if op.name not in ("HARD_SWISH", "GELU")}
    assert count_partitions(file, kept) == devices.partitions(content) == 2


def chain(count):
    """A file of ABS after ABS."""
    c = Craft("float32")
    tensor = first = c.tensor(SHAPE)
    for _ in range(count):
        tensor = c.op("ABS", [tensor], SHAPE)
    return tflite.read(c.build([first], [tensor]))


@pytest.mark.parametrize(
    ("kept", "pieces"),
    [((), 0), ((0, 1, 2, 3, 4, 5), 1), ((0, 1, 4, 5), 2), ((0, 2, 4), 3), ((2, 3), 1)],
)
def test_a_chain_is_cut_wherever_an_operator_leaves(kept, pieces):
    assert count_partitions(chain(6), set(kept)) == pieces


def test_thousands_of_cuts_are_counted_in_one_walk():
    assert count_partitions(chain(3000), range(0, 3000, 2)) == 1500


def test_inside_a_piece_is_what_lies_between_what_enters_and_what_leaves_it():
    file = chain(6)
    made = [op.outputs[0].index for op in file.operators]
    pieces = [
        {"inputs": [made[0]], "outputs": [made[2]]},
        {"inputs": [made[3]], "outputs": [made[4]]},
    ]
    assert delegated(file, pieces) == {1, 2, 4}
    assert delegated(file, []) == set()


@pytest.mark.parametrize("kind", ["ADD", "HARD_SWISH", "MAXIMUM"])
def test_the_pieces_of_the_runtime_hold_what_it_delegated(kind):
    content = between_convolutions(kind)
    file, found = tflite.read(content), devices.probe(content)
    inside = delegated(file, found["delegates"])
    assert {file.operators[i].name for i in inside} == {"CONV_2D"} | {"ADD"} & {kind}
    assert count_partitions(file, inside) == found["partitions"]


def test_operator_that_reads_what_nothing_makes_ends_the_count():
    c = Craft("float32")
    first = c.tensor(SHAPE)
    ring = c.tensor(SHAPE)
    c.op("ADD", [first, ring], SHAPE, {}, outputs=[ring])
    assert count_partitions(tflite.read(c.build([first], [ring])), {0}) == 0
