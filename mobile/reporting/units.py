"""Numbers as text, with their unit. Inside, times are ms and sizes bytes: scaled only here."""


def milliseconds(value) -> str:
    """Write a time with three figures.

    >>> milliseconds(0.61234), milliseconds(123.4), milliseconds(None)
    ('0.612', '123', '?')
    """
    return "?" if value is None else f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def megabytes(value) -> str:
    """Write a size in MB, 10^6 bytes.

    >>> megabytes(1_234_567)
    '1.235'
    """
    return "?" if value is None else f"{value / 1e6:.3f}"


def percent(value) -> str:
    """Write a share as percentage.

    >>> percent(0.98765)
    '98.8 %'
    """
    return "?" if value is None else f"{100 * value:.1f} %"


def millions(value) -> str:
    """Write a count in millions.

    >>> millions(2_542_856)
    '2.54 M'
    """
    return f"{value / 1e6:.2f} M"


def minutes(seconds: float) -> str:
    """Write a duration.

    >>> minutes(75), minutes(9.96)
    ('1 min 15 s', '10.0 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def se_in_words(config: dict | None) -> str:
    """Describe what `SEConfig.to_dict` gave, or the None of a network without.

    >>> se_in_words(None)
    'none'
    """
    if config is None:
        return "none"
    said = f"{config['kind']}, reduction {config['reduction']:g}, {config['gate']} gate"
    return said + (f", least width {config['min_channels']}" if config["min_channels"] > 1 else "")
