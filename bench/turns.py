"""One turn at timing. Python's own library alone: old interpreters run it too."""

import time

TURN_CALLS = 3
WARM_UP_SECONDS = 0.02


def turn(call, least_seconds):
    """Seconds of each call of one turn, after warm-up."""
    until = time.perf_counter() + WARM_UP_SECONDS
    while True:
        call()
        if time.perf_counter() > until:
            break
    seconds = []
    until = time.perf_counter() + least_seconds
    while time.perf_counter() < until or len(seconds) < TURN_CALLS:
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return seconds
