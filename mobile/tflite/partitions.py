"""The pieces that a delegate takes of a file."""

from collections.abc import Container, Iterable

from mobile.tflite.file import Flatbuffer


def delegated(file: Flatbuffer, delegates: Iterable[dict]) -> set[int]:
    """Return the indices of the operators inside the delegate's pieces.

    A piece is told by the tensors that enter and leave it: inside is what lies on the way back from
    the ones that leave, as far as the ones that enter.
    """
    maker = {t.index: op for op in file.operators for t in op.outputs}
    inside = set()
    for piece in delegates:
        entering, queue = set(piece["inputs"]), list(piece["outputs"])
        while queue:
            op = maker.get(queue.pop())
            if op is None or op.index in inside:
                continue
            inside.add(op.index)
            queue += [t.index for t in op.inputs if t is not None and t.index not in entering]
    return inside


def count_partitions(file: Flatbuffer, kept: Container[int]) -> int:
    """Return into how many pieces TFLite cuts the graph for a delegate that takes `kept`.

    From what can run, it takes all that the delegate keeps, and all that this makes possible; then
    all that the delegate does not keep, and so on in turn.

    Source:
        PartitionGraphIntoNodeSubsets in tflite/graph_info.cc of LiteRT.
    """
    made = {t.index for op in file.operators for t in op.outputs}
    ready = {t.index for t in file.tensors} - made
    waiting, pieces, kind = list(file.operators), 0, None
    while waiting:
        can = [op for op in waiting if all(t is None or t.index in ready for t in op.inputs)]
        if not can:
            break
        kind = (can[0].index in kept) if kind is None else not kind
        taken = 0
        while chosen := [op for op in can if (op.index in kept) == kind]:
            taken += len(chosen)
            ready |= {t.index for op in chosen for t in op.outputs}
            gone = {op.index for op in chosen}
            waiting = [op for op in waiting if op.index not in gone]
            can = [op for op in waiting if all(t is None or t.index in ready for t in op.inputs)]
        pieces += kind and taken > 0
    return pieces
