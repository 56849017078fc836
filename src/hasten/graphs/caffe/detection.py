"""SSD's last layer: boxes from offsets, and of those that overlap the best. It stands behind the
exported graph, because how many boxes it gives depends on values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hasten.graphs.caffe.layers import Layer, Parameters, layer


@layer("DetectionOutput")
def detection_output(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    """``(1, 1, boxes, 7)``: picture, class, score, and the corners as shares of the picture."""
    p = own.parameters("detection_output_param")
    if not p.one("share_location", True):
        raise own.refuse("every class has boxes of its own")
    offsets, scores, priors = x[0], x[1], x[2]
    count = priors.shape[2] // 4
    boxes = _boxes(own, p, offsets.reshape(-1, count, 4), priors)
    scores = scores.reshape(-1, count, p.one("num_classes"))
    rows: list[Tensor] = []
    for picture in range(boxes.shape[0]):
        rows += _of_one(p, picture, boxes[picture], scores[picture])
    return torch.stack(rows)[None, None] if rows else torch.zeros(1, 1, 0, 7)


def _boxes(own: Layer, p: Parameters, offsets: Tensor, priors: Tensor) -> Tensor:
    corners, spread = priors[0, 0].reshape(-1, 4), priors[0, 1].reshape(-1, 4)
    if p.one("variance_encoded_in_target", False):
        spread = torch.ones_like(spread)
    kind = p.one("code_type", "CORNER")
    if kind in ("CORNER", 1):
        return corners + offsets * spread
    if kind not in ("CENTER_SIZE", 2):
        raise own.refuse(f"its boxes are coded as {kind}")
    size, centre = corners[:, 2:] - corners[:, :2], (corners[:, 2:] + corners[:, :2]) / 2
    moved = offsets * spread
    middle, half = moved[..., :2] * size + centre, moved[..., 2:].exp() * size / 2
    return torch.cat([middle - half, middle + half], -1)


def _of_one(p: Parameters, picture: int, boxes: Tensor, scores: Tensor) -> list[Tensor]:
    """The rows of one picture, best first within the limit."""
    nms = Parameters(p.one("nms_param", {}))
    least, most = p.one("confidence_threshold", float("-inf")), nms.one("top_k", -1)
    found: list[Tensor] = []
    for kind in range(scores.shape[1]):
        if kind == p.one("background_label_id", 0):
            continue
        mine = scores[:, kind]
        order = torch.nonzero(mine > least).flatten()
        order = order[mine[order].argsort(descending=True, stable=True)]
        order = order[:most] if most > 0 else order
        for place in _apart(boxes, order, nms.one("nms_threshold", 0.3)):
            label = torch.tensor([picture, kind], dtype=boxes.dtype)
            found.append(torch.cat([label, mine[place][None], boxes[place]]))
    kept = p.one("keep_top_k", -1)
    if kept > 0 and len(found) > kept:
        found = sorted(found, key=lambda row: -float(row[2]))[:kept]
    return found


def _apart(boxes: Tensor, order: Tensor, most: float) -> list[Tensor]:
    """The best first, each overlapping those before it by ``most`` at most."""
    kept: list[Tensor] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        one, rest = boxes[best], boxes[order]
        shared = torch.minimum(one[2:], rest[:, 2:]) - torch.maximum(one[:2], rest[:, :2])
        inner = shared.clamp(min=0).prod(1)
        area = (one[2:] - one[:2]).prod() + (rest[:, 2:] - rest[:, :2]).prod(1) - inner
        order = order[inner / area <= most]
    return kept
