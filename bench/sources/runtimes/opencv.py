"""Caffe networks in OpenCV's own engine. **Source:** ``cv2.dnn.readNetFromCaffe`` of OpenCV 4.

What SSD does with its boxes is left out, as Hasten leaves it behind the network.
"""

import cv2


def prepare(files, samples):
    network = cv2.dnn.readNetFromCaffe(*files[:2])
    outputs = []
    for name in network.getUnconnectedOutLayersNames():
        number = network.getLayerId(name)
        boxes = network.getLayer(number).type == "DetectionOutput"
        inputs = [layer.name for layer in network.getLayerInputs(number)] if boxes else [name]
        outputs += [one for one in inputs if one not in samples]

    def run(arrays):
        for name, array in arrays.items():
            network.setInput(array, name)
        return network.forward(outputs)

    return run
