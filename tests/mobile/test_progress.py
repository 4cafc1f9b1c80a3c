import io

import pytest
from rich.console import Console

from mobile import progress


def terminal(**kw):
    return Console(width=100, file=io.StringIO(), **kw)


def test_progress_tells_stage_loss_and_time(capsys):
    console = terminal()
    shown = progress.Progress(console)
    with shown.stage("train mobile", steps=True) as watch:
        watch(0, 1, 2, 1.5, 0.25)
    shown.note("3 images skipped")
    text = console.file.getvalue()
    assert "train mobile ..." in text
    assert "✓ train mobile (0.0 s, loss 1.500, accuracy 25.0 %)" in text
    assert "! 3 images skipped" in text
    assert capsys.readouterr().out == ""


def test_no_name_steers_the_terminal_or_is_taken_for_markup():
    console = terminal()
    with progress.Progress(console).stage("read [/nothing]\x1b[2J"):
        pass
    progress.Progress(console).note("[red]photo[/1].png")
    text = console.file.getvalue()
    assert r"read [/nothing]\x1b[2J" in text and "[red]photo[/1].png" in text
    assert "\x1b" not in text


def test_a_bar_is_for_terminals_alone():
    pipe, screen = terminal(), terminal(force_terminal=True)
    for console in (pipe, screen):
        with progress.bar("Distilling", console=console) as tell:
            tell(0.5, "loss 0.25")
    assert pipe.file.getvalue() == "\n" * pipe.file.getvalue().count("\n")
    assert "Distilling" in screen.file.getvalue() and "loss 0.25" in screen.file.getvalue()


@pytest.mark.parametrize("show", [True, False])
def test_tracked_items_come_as_they_are(show, capsys):
    assert list(progress.track([3, 1, 2], "Layers", show)) == [3, 1, 2]
    assert list(progress.track(iter("ab"), "Batches", show)) == ["a", "b"]
    assert "Layers" not in capsys.readouterr().err  # a pipe


def test_silence_is_a_progress():
    with progress.Silence().stage("train", steps=True) as watch:
        assert watch is None
    progress.Silence().note("nothing")
