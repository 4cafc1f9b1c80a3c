from rich.text import Text

from mobile.reporting import console


def test_text_is_printed_as_it_is_but_steers_nothing(capsys):
    console.show("[red]name[/1]\n\x1b[2J \udcff")
    assert capsys.readouterr().out == "[red]name[/1]\n" + r"\x1b[2J \udcff" + "\n"


def test_long_lines_are_not_broken_but_for_tables(capsys):
    console.show("word " * 100)
    assert capsys.readouterr().out.count("\n") == 1
    console.show(Text("word " * 100))
    assert capsys.readouterr().out.count("\n") > 1
