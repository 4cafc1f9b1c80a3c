"""Training, and the whole run from images to a report."""
