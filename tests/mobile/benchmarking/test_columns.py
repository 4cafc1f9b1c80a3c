from mobile.benchmarking import columns
from mobile.benchmarking.timings import ModelTimings


def model(**kw):
    return ModelTimings("a", (0.5, 1.5, 2.5), None, 1_234_567, **kw)


def texts(one):
    return {column.header: column.text(one) for column in columns.COLUMNS}


def test_a_column_writes_its_figure():
    said = texts(model(output_error=2e-7, output_lsb=3, peak_memory_bytes=8_250_000))
    assert said["p50 ms"] == "1.50"
    assert said["p90 ms"] == "2.30"  # 1.5 + 0.8 * (2.5 - 1.5)
    assert (said["file MB"], said["memory MB"]) == ("1.235", "8.2")
    assert (said["error"], said["LSB"]) == ("2e-05 %", "3")
    assert (said["runs"], said["seconds"]) == ("3", "0.0")


def test_what_is_not_known_is_a_question_mark():
    assert texts(model())["load ms"] == "?"
    assert set(texts(None).values()) == {"?"}  # a file that did not run


def test_columns_of_which_nothing_is_known_go():
    alone = [column.header for column in columns.known([model()], alone=True)]
    assert alone == ["runs", "seconds", "p50 ms", "p90 ms", "p99 ms", "file MB"]
    found = columns.known([model(), model(load_ms=0.0), None], alone=False)
    assert [c.header for c in found] == [
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "load ms",
        "file MB",
    ]


def test_a_narrow_terminal_keeps_the_median():
    assert columns.spare()[:2] == ("load ms", "first ms")
    assert not {"p50 ms", "p90 ms"} & set(columns.spare())
