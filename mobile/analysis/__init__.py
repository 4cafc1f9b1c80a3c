"""What leaves an accelerator, why, and what to do; estimates of accelerators that are not there."""
