"""The folder of a tuning is of one tuning, and used by one process at a time."""

import pytest

from mobile.tuning import tuning_folder


def test_a_folder_goes_on_with_the_same_options_alone(tmp_path):
    tuning_folder.check_options(tmp_path, {"budget": 1, "seeds": (1, 2)})
    tuning_folder.check_options(tmp_path, {"budget": 1, "seeds": (1, 2)})
    with pytest.raises(ValueError, match=r"that was: budget=1\. Name another folder"):
        tuning_folder.check_options(tmp_path, {"budget": 2, "seeds": (1, 2)})


def test_a_file_that_is_none_of_ours_is_said(tmp_path):
    (tmp_path / tuning_folder.OPTIONS).write_text("[]")
    with pytest.raises(ValueError, match=r"options.json must be what a tuning wrote"):
        tuning_folder.check_options(tmp_path, {"budget": 1})


def test_the_folder_is_locked_while_it_is_used_and_free_afterwards(tmp_path):
    folder = tmp_path / "new" / "t"
    with tuning_folder.locked(folder), pytest.raises(ValueError, match="one `tune` at a time"):
        tuning_folder.locked(folder).__enter__()
    with tuning_folder.locked(folder):
        pass


def test_a_study_is_kept_in_the_file(tmp_path):
    tuning_folder.study(tmp_path / "t.db", "one").set_user_attr("a", 1)
    assert tuning_folder.study(tmp_path / "t.db", "one").user_attrs == {"a": 1}
