"""Tuning: which squeeze-and-excitation, where, and which gates need not be computed."""
