"""What a run's file holds of the gates of a network with two blocks, one constant and one alive."""

_BLOCK = {"kind": "cse", "constant": [0.5, 0.5], "saturated": 0.0, "class_means": None}
_BLOCK |= {"mean": [0.4, 0.6], "spread": [0.0, 0.02], "reason": None}
_BLOCKS = [
    _BLOCK | {"name": "early", "shape": [4, 4, 2], "error": 0.004},
    _BLOCK | {"name": "late", "shape": [2, 2, 2], "error": 0.31},
]
GATES = {"model": "net", "images": 9, "blocks": _BLOCKS, "classes": [], "skipped": {}}
