import io
import json
import threading
import zipfile

import flatbuffers
import numpy as np
import pytest

from mobile import devices, tflite
from mobile.tflite import schema
from tests.mobile.craft import Craft, between_convolutions, float_border, packed_once


def test_what_is_no_tflite_is_named():
    with pytest.raises(ValueError, match="TFL3 at byte 4"):
        tflite.read(b"PK\x03\x04not a model")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_file_says_so(share):
    content = between_convolutions("MEAN")
    with pytest.raises(ValueError, match=r"must be whole\. .*Copy or convert it again"):
        tflite.read(content[: int(share * len(content))])


def test_written_buffers_lie_on_multiples_of_16_bytes():
    written = tflite.write_metadata(between_convolutions("ADD"), "note", [1])
    model = schema.load().Model.GetRootAs(written)
    vectors = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [b._tab.Vector(b._tab.Offset(4)) for b in vectors if b.DataLength()]
    assert starts and all(start % 16 == 0 for start in starts)


def test_attached_label_files_survive():
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("labels.txt", "cat\ndog")
    content = tflite.write_metadata(float_border() + archive.getvalue(), "note", 1)
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.read("labels.txt") == b"cat\ndog"


def _with_buffers_behind(content):
    """The same file with the content of its buffers behind the model, as in large files."""
    packed = schema.unpack(content)
    filled = [b for b in packed.buffers if b.data is not None and len(b.data)]
    contents = [bytes(bytearray(buffer.data)) for buffer in filled]
    padded = [data + bytes(-len(data) % 16) for data in contents]

    def model(begin):
        for buffer, data, whole in zip(filled, contents, padded, strict=True):
            buffer.data, buffer.offset, buffer.size = None, begin, len(data)
            begin += len(whole)
        builder = flatbuffers.Builder(1024)
        builder.Finish(packed.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    begin = -(-len(model(16)) // 16) * 16  # the length does not depend on the places
    return model(begin).ljust(begin, b"\0") + b"".join(padded)


def test_buffers_behind_the_model_are_read_and_kept():
    content = between_convolutions("ADD")
    moved = _with_buffers_behind(content)
    before, after = tflite.read(content), tflite.read(moved)
    constants = [(x, y) for x, y in zip(before.tensors, after.tensors, strict=True) if x.constant]
    assert constants and all(np.array_equal(x.values, y.values) for x, y in constants)
    image = np.random.default_rng(0).integers(-128, 127, (3, 8, 8, 4), np.int8)
    (expected,) = devices.predict(content, image)
    for file in (moved, tflite.write_metadata(moved, "note", [1])):
        assert np.array_equal(devices.predict(file, image)[0], expected)
    with pytest.raises(ValueError, match=r"must be whole.*a buffer ends at"):
        tflite.read(moved[:-32])


def big_graph(tensors=600):
    c = Craft("float32")
    for _ in range(tensors):
        c.tensor((1, 2, 3))
    x = c.tensor((1,))
    c.build([x], [x])
    return c


@pytest.mark.parametrize("times", [300, 50_000])
def test_graph_that_many_offsets_lead_to_is_refused(times):
    c = big_graph()
    c.model.subgraphs = [packed_once(c.graph)] * times
    content = schema.pack(c.model)
    assert len(content) < 300_000
    with pytest.raises(ValueError, match=r"more than 2 times that\)\. Copy or convert"):
        tflite.read(content)


def many_names():
    c = big_graph(0)
    c.model.operatorCodes = [packed_once(c.schema.OperatorCodeT())] * 20_000
    c.model.operatorCodes[0].customCode = "x" * 50_000  # 1 GB of text
    return schema.pack(c.model)


def many_scales():
    c = big_graph(0)
    tensor = packed_once(c.graph.tensors[c.tensor((1,), scale=np.ones(20_000))])
    c.graph.tensors += [tensor] * 20_000  # 400 million numbers
    return schema.pack(c.model)


def many_empty_tables():
    c = big_graph(0)
    c.graph.operators += [packed_once(c.schema.OperatorT())] * 20_000
    return schema.pack(c.model)


def many_deep_tables():
    c = big_graph(0)
    quantization = packed_once(c.schema.QuantizationParametersT())
    quantization.scale = np.ones(1, np.float32)
    tensor = packed_once(c.graph.tensors[0])
    tensor.quantization = quantization
    c.graph.tensors = [tensor] * 20_000
    return schema.pack(c.model)


@pytest.mark.parametrize("make", [many_names, many_scales, many_empty_tables, many_deep_tables])
def test_any_part_that_many_offsets_lead_to_is_refused(make):
    with pytest.raises(ValueError, match="shared by many"):
        tflite.read(make())


def test_buffers_behind_the_model_that_share_a_place_are_refused():
    c = big_graph(0)
    c.model.buffers = [c.schema.BufferT() for _ in range(1000)]
    for buffer in c.model.buffers:
        buffer.offset, buffer.size = 16, 40_000
    builder = flatbuffers.Builder(1024)
    builder.Finish(c.model.Pack(builder), file_identifier=b"TFL3")
    content = bytes(builder.Output()).ljust(50_000, b"\0")
    assert len(content) == 50_000
    with pytest.raises(ValueError, match="shared by many"):
        tflite.read(content)


def test_a_few_shared_parts_are_read():
    c = Craft("float32")
    shape = c.graph.tensors[c.tensor((1, 8, 8, 4))]
    c.graph.tensors[0] = packed_once(shape)
    c.graph.tensors += [shape] * 3
    c.graph.operators = []
    content = c.build([0], [0])
    assert [t.shape for t in tflite.read(content).tensors] == [(1, 8, 8, 4)] * 4


def test_honest_files_come_to_less_than_their_length(monkeypatch):
    """What is unpacked has bytes of its own in a file that shares nothing: its length is enough."""
    monkeypatch.setattr(schema, "_MOST_SHARED", 1)
    for kind in ("ADD", "MEAN", "SPLIT", "RESHAPE"):
        schema.unpack(between_convolutions(kind))
    schema.unpack(_with_buffers_behind(between_convolutions("ADD")))


def test_what_one_thread_reads_costs_another_nothing():
    failed = []

    def refuse():
        try:
            tflite.read(many_empty_tables())
        except ValueError as error:
            failed.append(error)

    threads = [threading.Thread(target=refuse) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        tflite.read(between_convolutions("ADD"))
    for thread in threads:
        thread.join()
    assert len(failed) == 2


def test_many_tensors_of_one_buffer_take_its_memory_once():
    c = Craft("float32")
    first = c.graph.tensors[c.constant(np.arange(10_000), "float32")]
    for _ in range(500):
        c.graph.tensors[c.tensor((10_000,))].buffer = first.buffer
    tensors = tflite.read(c.build([0], [0])).tensors
    assert np.shares_memory(tensors[0].values, tensors[-1].values)
    assert tensors[-1].values.tolist() == list(range(10_000))


def test_metadata_of_nothing_but_brackets_stays_text():
    content = between_convolutions("ADD")
    packed = schema.unpack(tflite.write_metadata(content, "deep", 1))
    packed.buffers[packed.metadata[0].buffer].data = np.frombuffer(b"[" * 100_000, np.uint8)
    assert tflite.read(schema.pack(packed)).metadata["deep"] == b"[" * 100_000


def test_many_names_of_one_metadata_buffer_are_read_once(monkeypatch):
    content = tflite.write_metadata(between_convolutions("ADD"), "a", {"x": 1})
    packed = schema.unpack(content)
    for number in range(20):
        entry = schema.load().MetadataT()
        entry.name, entry.buffer = f"copy {number}", packed.metadata[0].buffer
        packed.metadata.append(entry)
    calls = []
    monkeypatch.setattr(json, "loads", lambda data: calls.append(data) or {"x": 1})
    assert len(tflite.read(schema.pack(packed)).metadata) == 21
    assert len(calls) == 1
