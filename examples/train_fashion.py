"""Train the small CNN of ``fashion_cnn.py`` in plain PyTorch and keep its weights.

    python examples/train_fashion.py                    Fashion-MNIST, about two minutes on 2 cores
    python examples/train_fashion.py --data digits      the embedded digits, seconds

The last 5,000 training pictures of Fashion-MNIST are held out: nothing learns from them, so that
they can calibrate and select later.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that it runs as a plain script

from examples.fashion_cnn import DIGITS_FOR_TRAINING, untrained, weights_path
from hasten.data import load

HELD_OUT = 5_000
BATCH = 256


def parts(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the training and of the test samples."""
    data = load(name)
    if "test" in data.splits:
        return data.splits["train"][:-HELD_OUT], data.splits["test"]
    return np.arange(DIGITS_FOR_TRAINING), np.arange(DIGITS_FOR_TRAINING, len(data))


def tensors(name: str, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised pictures ``(n, 1, side, side)`` and their classes."""
    data = load(name)
    if data.labels is None:
        raise ValueError(f"{name} has no labels")
    pictures = data.normalisation["images"](np.asarray(data.inputs["images"][rows]))
    images = torch.from_numpy(pictures).contiguous(memory_format=torch.channels_last)
    return images, torch.from_numpy(data.labels[rows])


def mirrored(images: torch.Tensor) -> torch.Tensor:
    """The pictures, half of them mirrored."""
    return torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(-1), images)


def train(name: str, epochs: int, seed: int) -> nn.Module:
    """The trained module, in eval mode."""
    torch.manual_seed(seed)
    images, labels = tensors(name, parts(name)[0])
    module = untrained(name).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(module.parameters(), momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = epochs * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.2, total_steps=steps)
    for epoch in range(epochs):
        began, total = time.perf_counter(), 0.0
        for rows in torch.randperm(len(labels))[: len(labels) // BATCH * BATCH].view(-1, BATCH):
            batch = images[rows] if name == "digits" else mirrored(images[rows])
            loss = functional.cross_entropy(module(batch), labels[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - began
        print(f"epoch {epoch + 1}: loss {total * epochs / steps:.3f}, {seconds:.0f} s", flush=True)
    return module.eval()


def accuracy(module: nn.Module, name: str) -> float:
    """The share of test samples that the module answers rightly."""
    images, labels = tensors(name, parts(name)[1])
    with torch.inference_mode():
        answers = torch.cat([module(batch).argmax(1) for batch in images.split(1000)])
    return float((answers == labels).float().mean())


def main() -> None:
    """Train, test, and keep the weights."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", choices=("fashion-mnist", "digits"), default="fashion-mnist")
    parser.add_argument("--epochs", type=int, help="default: 4, or 40 for digits")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    epochs = asked.epochs or (4 if asked.data == "fashion-mnist" else 40)
    module = train(asked.data, epochs, asked.seed)
    print(f"test accuracy {accuracy(module, asked.data):.4f}")
    path = weights_path(asked.data)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: t.contiguous() for name, t in module.state_dict().items()}, path)
    print(f"weights kept in {path}")


if __name__ == "__main__":
    main()
