"""From Keras to .tflite, and the proof that the two agree."""
