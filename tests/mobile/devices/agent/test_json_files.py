from mobile.devices.agent.json_files import read_json, write_json


def test_what_was_written_is_read_and_nothing_else_lies_there(tmp_path):
    path = str(tmp_path / "a.json")
    write_json(path, {"a": [1, None]})
    assert read_json(path) == {"a": [1, None]}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_absent_or_damaged_file_is_none(tmp_path):
    assert read_json(str(tmp_path / "a.json")) is None
    (tmp_path / "a.json").write_text('{"a": ')
    assert read_json(str(tmp_path / "a.json")) is None
