"""One framework in a process of its own: builds the network, learns, answers, and is timed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from hasten import plugin
from hasten.comparing import network
from hasten.errors import CandidateFailed, Unsupported
from hasten.plugin.frameworks import Framework, Lesson, Net
from hasten.search.answering import answering

PART = 512
"""Test samples answered at a time."""
LEAST_CALLS = 5


class Rival:
    """Answers the parent's requests."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.net: Net | None = None

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self, "do_" + request["do"])(request)
        return {"ok": True, **answer}

    def do_build(self, request: dict[str, Any]) -> dict[str, Any]:
        """Import the framework, build the network, and take its first outputs and step."""
        framework: Framework = plugin.frameworks.get(request["framework"])
        folder = Path(request["folder"])
        layers = network.read(folder)
        if lacking := framework.lacks(layers):
            raise Unsupported(f"it has no layer of kind {', '.join(lacking)} here")
        data = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in network.ARRAYS}
        self.test = np.asarray(data["test_x"])
        began = time.perf_counter()
        framework.load()
        imported = time.perf_counter()
        x, y = np.array(data["train_x"]), np.array(data["train_y"])
        lesson = Lesson(layers, x, y, request["learning_rate"], request["momentum"])
        self.net = framework.build(lesson)
        built = time.perf_counter()
        first = np.asarray(self.net.logits(self.net.ready(self.test[: request["looked_at"]])))
        np.save(folder / f"{request['framework']}.npy", first)
        answered = time.perf_counter()
        return {
            "versions": framework.versions(),
            "import_seconds": imported - began,
            "build_seconds": built - imported,
            "first_answer_seconds": answered - built,
        }

    def do_train(self, request: dict[str, Any]) -> dict[str, Any]:
        """Steps on these rows; seconds of one of them."""
        rows = np.array(request["rows"], np.int64)
        began = time.perf_counter()
        loss = self._net().train(rows)
        return {"seconds": (time.perf_counter() - began) / len(rows), "loss": loss}

    def do_answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Seconds of one call on ``batch`` samples, over as many calls as fit into the time."""
        net, times = self._net(), []
        x = net.ready(self.test[: request["batch"]])
        net.logits(x)
        ends = time.perf_counter() + request["seconds"]
        while time.perf_counter() < ends or len(times) < LEAST_CALLS:
            began = time.perf_counter()
            net.logits(x)
            times.append(time.perf_counter() - began)
        return {"seconds": float(np.median(times))}

    def do_end(self, request: dict[str, Any]) -> dict[str, Any]:
        """The classes that it answers for the test samples, and the most memory that it took."""
        import resource

        net, found = self._net(), []
        for start in range(0, len(self.test), PART):
            part = self.test[start : start + PART]
            missing = PART - len(part)
            if missing:  # one shape for all: others would be compiled for the last part
                part = np.concatenate([part, np.repeat(part[:1], missing, axis=0)])
            answers = np.asarray(net.logits(net.ready(part)))[: PART - missing]
            found.append(answers.argmax(1))
        np.save(
            Path(request["folder"]) / f"{request['framework']}-classes.npy", np.concatenate(found)
        )
        kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"memory_bytes": kibibytes * 1024}

    def _net(self) -> Net:
        if self.net is None:
            raise CandidateFailed("it has no network yet")
        return self.net


if __name__ == "__main__":
    answering(Rival().handle)
