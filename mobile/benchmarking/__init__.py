"""Times of files side by side, and whether to believe them."""
