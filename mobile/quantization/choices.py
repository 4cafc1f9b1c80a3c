"""What quantisation can be asked for; functions, options and --help read it here, without Keras."""

from __future__ import annotations

#: How ranges are found: see `mobile.calibrate`.
METHODS = ("mse", "minmax", "percentile", "entropy")
#: Who carries the plan out: see `mobile.quantize_aware`.
ENGINES = ("keras", "tfmot")
