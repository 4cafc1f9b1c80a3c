"""What the tests of pictures share."""

import pytest

from mobile.reporting import canvas


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, kept."""
    kept, png = [], canvas.png
    monkeypatch.setattr(canvas, "png", lambda figure: kept.append(figure) or png(figure))
    return kept
