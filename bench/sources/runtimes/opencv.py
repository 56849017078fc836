"""Caffe networks in OpenCV's own engine. **Source:** ``cv2.dnn.readNetFromCaffe`` of OpenCV 4."""

import cv2


def prepare(files, samples):
    network = cv2.dnn.readNetFromCaffe(*files[:2])
    outputs = network.getUnconnectedOutLayersNames()

    def run(arrays):
        for name, array in arrays.items():
            network.setInput(array, name)
        return network.forward(outputs)

    return run
