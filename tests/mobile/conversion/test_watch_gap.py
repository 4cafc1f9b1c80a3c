import numpy as np

from mobile.conversion.watch_gap import WatchGap
from mobile.quantization import quantize_aware


def test_the_gap_is_logged_each_epoch(lowered, ranges, images):
    model = quantize_aware(lowered, ranges=ranges)
    model.compile("sgd", "sparse_categorical_crossentropy")
    labels = np.arange(len(images)) % 5
    watch = WatchGap(images[:10], labels[:10])
    logs = model.fit(images, labels, epochs=2, verbose=0, callbacks=[watch]).history
    assert len(logs["tflite_agreement"]) == len(logs["tflite_accuracy"]) == 2
    assert max(logs["tflite_mean_abs"]) < 0.02


def test_without_labels_no_accuracy_is_logged(lowered, ranges, images):
    watch = WatchGap(images[:4])
    watch.set_model(quantize_aware(lowered, ranges=ranges))
    logs = {"loss": 1.0}
    watch.on_epoch_end(0, logs)
    assert set(logs) == {"loss", "tflite_agreement", "tflite_mean_abs"}
