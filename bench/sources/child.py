"""The process in which a model runs at home, or as Hasten's bundle.

    python -m bench.sources.child RUNTIME FEED.npz ANSWERS.npz FILE...

Writes what the model answers to every sample of the feed, says so as a JSON line, then answers
every line on its standard input (the least seconds of a turn) with the seconds of each call at
batch 1.
NumPy and the runtime alone are imported: old interpreters run it too.
"""

import importlib
import json
import os
import sys
import time

import numpy as np

from bench.turns import turn


def main(runtime, feed, answers, *files):
    private = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(value):
        private.write(json.dumps(value) + "\n")
        private.flush()

    began = time.perf_counter()
    with np.load(feed) as stored:
        samples = {name: stored[name] for name in stored.files}
    prepare = importlib.import_module("bench.sources.runtimes." + runtime).prepare
    run = prepare(files, samples)
    count = len(next(iter(samples.values())))
    found = [
        [np.array(one) for one in run({name: all_[n : n + 1] for name, all_ in samples.items()})]
        for n in range(count)
    ]
    each = enumerate(zip(*found, strict=True))
    named = {f"output{place:02}": np.concatenate(arrays) for place, arrays in each}
    np.savez(answers, **named)
    first = {name: all_[:1] for name, all_ in samples.items()}
    say({"seconds": time.perf_counter() - began})
    for line in sys.stdin:
        say(turn(lambda: run(first), float(line)))


if __name__ == "__main__":
    main(*sys.argv[1:])
