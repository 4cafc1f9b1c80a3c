import json
import os
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from mobile.record import (
    Count,
    FileRecord,
    Record,
    Share,
    converted,
    printable,
    table,
    write_file,
)


@dataclass(frozen=True)
class Inner(Record):
    shares: tuple[Share, ...] = ()

    SUMMARY: ClassVar = ("total",)

    @property
    def total(self) -> float:
        return sum(self.shares)


@dataclass(frozen=True)
class Outer(Record):
    name: str
    count: Count
    inner: tuple[Inner, ...] = ()
    place: tuple[float, float] | None = None
    free: dict = field(default_factory=dict)


def test_a_record_goes_to_json_and_back_with_its_summary_beside_it():
    outer = Outer("a", 3, (Inner((0.25, 0.5)),), (1.0, 2.0), {"x": [1, {"y": None}]})
    said = json.loads(outer.to_json())
    assert said["inner"] == [{"shares": [0.25, 0.5], "total": 0.75}]
    assert Outer.from_json(outer.to_json()) == outer
    assert Outer.from_dict({**said, "unknown": 1}) == outer


def test_numpy_numbers_are_written_as_plain_ones():
    said = Outer("a", np.int64(3), (Inner((np.float64(0.5),)),)).to_dict()
    assert type(said["count"]) is int and type(said["inner"][0]["shares"][0]) is float


@dataclass(frozen=True)
class Filed(FileRecord):
    inner: Inner

    FORMAT: ClassVar = "toy"
    VERSION: ClassVar = 3
    COMMAND: ClassVar = "toy make"


def test_a_record_comes_back_from_its_file(tmp_path):
    record = Filed(Inner((0.5,)))
    path = record.save(tmp_path / "r.json")
    assert list(json.loads(path.read_text()))[:2] == ["format", "version"]
    assert Filed.load(path) == record


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1]", "Received: no record. Make one with `toy make`"),
        ('{"format": "toy", "version": 4}', "version 3. Received: format 'toy', version 4"),
        ('{"format": "top", "version": 3}', "format 'top'"),
        ('{"format": "toy", "version": 3}', "inner"),
        ("{", "Expecting property name"),
    ],
)
def test_a_file_of_another_record_is_refused(tmp_path, content, words):
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"r.json: .*{words}"):
        Filed.load(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"count": -1}, "in count: Expected `int` >= 0"),
        ({"count": 1.5}, "in count: Expected `int`, got `float`"),
        ({"count": True}, "in count: Expected `int`, got `bool`"),
        ({"count": 10**400}, "in count: Expected `int` <="),
        ({"name": None}, "in name: Expected `str`, got `null`"),
        ({"inner": {"shares": []}}, "in inner: Expected `array`, got `object`"),
        (
            {"inner": [{}, {"shares": [0, 1.1]}]},
            r"in inner\[1\]\.shares\[1\]: Expected `float` <= 1",
        ),
        (
            {"inner": [{"shares": [float("nan")]}]},
            r"in inner\[0\]\.shares\[0\]: Expected `float` >=",
        ),
        ({"place": [1, 2, 3]}, "in place: Expected `array` of length 2"),
        ({"free": []}, "in free: Expected `object`, got `array`"),
    ],
)
def test_a_wrong_field_is_named(change, words):
    with pytest.raises(ValueError, match=f"must hold what was written. Received {words}"):
        Outer.from_dict({"name": "a", "count": 1, **change})


def test_a_missing_field_or_something_else_altogether_is_named():
    with pytest.raises(ValueError, match="Received: Object missing required field `count`"):
        Outer.from_dict({"name": "a"})
    with pytest.raises(ValueError, match="Expected `object`, got `array`"):
        Outer.from_dict([])
    with pytest.raises(ValueError, match=r"Received in a\.b\[1\]: Expected `int`, got `str`"):
        converted([1, "x"], list[int], "a.b")


def test_table_puts_numbers_right_and_words_left():
    text = table(("name", "n"), [("a", 1), ("bc", 20)])
    assert text == "name   n\na      1\nbc    20"


def test_written_file_has_no_leftovers_when_writing_fails(tmp_path):
    with pytest.raises(TypeError):
        write_file(tmp_path / "x", 5)
    assert os.listdir(tmp_path) == []


def test_written_file_may_be_read_by_others_as_the_umask_says(tmp_path):
    path = write_file(tmp_path / "folder" / "x", "text")
    umask = os.umask(0)
    os.umask(umask)
    assert path.read_text() == "text"
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_columns_of_text_may_go_to_the_right():
    assert table(("a", "b"), [("x", "1 ms"), ("y", "10 ms")], right=(1,)) == (
        "a      b\nx   1 ms\ny  10 ms"
    )


def test_no_cell_steers_the_terminal_or_breaks_the_table():
    assert table(("a",), [("\x1b[2J\n\r\x9b\u202e\udcff",)]).splitlines() == [
        "a",
        r"\x1b[2J\n\r\x9b\u202e\udcff",
    ]
    assert printable("ü\u6a21\U0001f600 a\tb") == "ü\u6a21\U0001f600 a\\tb"
