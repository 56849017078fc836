"""The rescue: when quantising everything breaks the limit, keep the layers that hurt in float.

**Source:** the idea of reverting quantisers by their effect is that of accuracy-aware quantisation
(NNCF's accuracy control reverts one operation at a time and validates each time). Here the order
comes from one pass of per-layer SQNR, and the number of layers from bisection: three builds, not
one per layer.
"""

from __future__ import annotations

from collections.abc import Mapping

TRIES = 3


def order(layers: Mapping[str, float]) -> list[str]:
    """Layer names, the most harmful first.

    ``layers`` is the SQNR in dB of each layer's output, in the model's order. Noise adds up along
    the model, so a layer's own harm is how much the noise-to-signal ratio grows at it.
    """
    harm, before = {}, 0.0
    for name, decibel in layers.items():
        ratio = 10.0 ** (-decibel / 10.0)
        harm[name] = ratio - before
        before = ratio
    return sorted(harm, key=lambda name: harm[name], reverse=True)


class Rescue:
    """How many of the worst layers to keep in float: the fewest that satisfy the limit.

    Ask ``keep`` for the next set, build it, and tell ``judged`` whether it held the limit.
    """

    def __init__(self, layers: Mapping[str, float]) -> None:
        self.ranked = order(layers)
        self.low = 0
        self.high = len(self.ranked)
        self.tries = 0
        self.count = max(1, len(self.ranked) // 8)

    def keep(self) -> tuple[str, ...] | None:
        """The layers to keep in float next; ``None`` when it is settled or not worth more."""
        if self.tries == TRIES or not self.low < self.count < self.high:
            return None
        self.tries += 1
        return tuple(sorted(self.ranked[: self.count]))

    def judged(self, held: bool) -> None:
        """Whether the last set held the limit."""
        if held:
            self.high = self.count
            self.count = (self.low + self.high) // 2
        else:
            self.low = self.count
            self.count = min(2 * self.count, (self.count + self.high) // 2)
