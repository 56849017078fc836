"""The rescue: when quantising everything breaks the limit, keep the layers that hurt in float.

**Source:** the idea of reverting quantisers by their effect is that of accuracy-aware quantisation
(NNCF's accuracy control reverts one operation at a time and validates each time). Here the order
comes from one pass of per-layer SQNR, and the number of layers from bisection: three builds, not
one per layer; and only one where half of the layers in float do not help.
"""

from __future__ import annotations

from collections.abc import Mapping

TRIES = 3
CLEAN_DECIBEL = 50.0
"""About the SQNR of eight bits: what a layer with clean inputs should reach."""


def order(layers: Mapping[str, float]) -> list[str]:
    """Layer names, the most harmful first: where SQNR falls most from one layer to the next.

    ``layers`` is the SQNR in dB of each layer's output, in the model's order. Noise that enters
    early is amplified by all that follows, so a fall counts in dB, not in noise power.
    """
    fall, before = {}, CLEAN_DECIBEL
    for name, decibel in layers.items():
        fall[name] = before - decibel
        before = decibel
    return sorted(fall, key=lambda name: fall[name], reverse=True)


class Rescue:
    """How many of the worst layers to keep in float: the fewest that satisfy the limit.

    Half of them first: if that does not hold the limit, no set worth its cost will. Ask ``keep``
    for the next set, build it, and tell ``judged`` whether it held.
    """

    def __init__(self, layers: Mapping[str, float]) -> None:
        self.ranked = order(layers)
        self.low = 0
        self.high = len(self.ranked)
        self.tries = 0
        self.hopeless = False

    def keep(self) -> tuple[str, ...] | None:
        """The layers to keep in float next; ``None`` when it is settled or not worth more."""
        count = (self.low + self.high) // 2
        if self.hopeless or self.tries == TRIES or not self.low < count < self.high:
            return None
        self.tries += 1
        return tuple(sorted(self.ranked[:count]))

    def judged(self, held: bool) -> None:
        """Whether the last set held the limit."""
        middle = (self.low + self.high) // 2
        self.hopeless = self.tries == 1 and not held
        if held:
            self.high = middle
        else:
            self.low = middle
