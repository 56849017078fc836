"""Caffe networks in OpenCV's own engine. **Source:** ``cv2.dnn.readNetFromCaffe`` of OpenCV 4.

What SSD does with its boxes is left out, as Hasten leaves it behind the network.
"""

from pathlib import Path

import cv2

from hasten.graphs.caffe.text import parse


def prepare(files, samples):
    network = cv2.dnn.readNetFromCaffe(*files[:2])
    boxes = {
        layer["name"][0]: layer["bottom"]
        for layer in parse(Path(files[0]).read_text()).get("layer", [])
        if layer["type"] == ["DetectionOutput"]
    }
    outputs = []
    for name in network.getUnconnectedOutLayersNames():
        outputs += boxes.get(name, [name])

    def run(arrays):
        for name, array in arrays.items():
            network.setInput(array, name)
        return network.forward(outputs)

    return run
