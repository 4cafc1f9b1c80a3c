"""The pieces that a delegate takes of a file."""

import collections
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
    readers, lacking = collections.defaultdict(list), {}
    ready = {True: [], False: []}
    for op in file.operators:
        needs = {t.index for t in op.inputs if t is not None} & made
        lacking[op.index] = len(needs)
        for index in needs:
            readers[index].append(op.index)
        if not needs:
            ready[op.index in kept].append(op.index)
    first = next((index for index, count in lacking.items() if not count), -1)
    pieces, kind = 0, first in kept
    while ready[True] or ready[False]:
        pieces += kind and bool(ready[True])
        while ready[kind]:
            for tensor in file.operators[ready[kind].pop()].outputs:
                for reader in readers.pop(tensor.index, ()):
                    lacking[reader] -= 1
                    if not lacking[reader]:
                        ready[reader in kept].append(reader)
        kind = not kind
    return pieces
