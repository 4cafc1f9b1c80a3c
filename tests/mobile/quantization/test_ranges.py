import pytest

from mobile.quantization.ranges import Ranges


def test_ranges_are_a_mapping_and_go_through_a_file(tmp_path):
    ranges = Ranges({"a": (0, 6), "b": (-1.5, 2.0)}, method="minmax", images=8)
    loaded = Ranges.load(ranges.save(tmp_path / "ranges.json"))
    assert loaded == ranges
    assert dict(loaded) == {"a": (0.0, 6.0), "b": (-1.5, 2.0)}
    assert "minmax" in ranges.to_json()
    assert str(ranges).splitlines()[1].split() == ["a", "0.000", "6.000"]


def test_updated_ranges_leave_the_first_alone():
    ranges = Ranges({"a": (0, 6)})
    assert ranges.updated({"a": (0, 1)})["a"] == (0.0, 1.0)
    assert ranges["a"] == (0.0, 6.0)


@pytest.mark.parametrize("bad", [(1.0, 0.0), (0.0, float("nan")), (float("-inf"), 0.0), ("0", "1")])
def test_ranges_must_be_finite_and_in_order(bad):
    with pytest.raises(ValueError, match="tensor 'a'"):
        Ranges({"a": bad})


def test_a_damaged_file_of_ranges_names_the_tensor_or_the_field(tmp_path):
    (tmp_path / "a.json").write_text('{"ranges": {"conv": [2, 1]}}')
    with pytest.raises(ValueError, match="tensor 'conv'"):
        Ranges.load(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"ranges": {"conv": [1]}}')
    with pytest.raises(ValueError, match=r"in ranges\[\.\.\.\]: Expected `array` of length 2"):
        Ranges.load(tmp_path / "a.json")
