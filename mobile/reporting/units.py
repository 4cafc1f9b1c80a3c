"""Numbers as text, with their unit. Times and sizes are in `mobile.benchmarking.columns`."""

from typing import Any


def percent(value: float | None) -> str:
    """Write a share as percentage.

    >>> percent(0.98765)
    '98.8 %'
    """
    return "?" if value is None else f"{100 * value:.1f} %"


def millions(value: float) -> str:
    """Write a count in millions.

    >>> millions(2_542_856)
    '2.54 M'
    """
    return f"{value / 1e6:.2f} M"


def se_in_words(config: dict[str, Any] | None) -> str:
    """Describe what `SEConfig.to_dict` gave, or the None of a network without.

    >>> se_in_words(None)
    'none'
    """
    if config is None:
        return "none"
    said = f"{config['kind']}, reduction {config['reduction']:g}, {config['gate']} gate"
    return said + (f", least width {config['min_channels']}" if config["min_channels"] > 1 else "")
