"""What lowering does at each class of layer and operation: each module fills the registry."""

from mobile.lowering.rules import activations, joining, linear, spatial

__all__ = ["activations", "joining", "linear", "spatial"]
