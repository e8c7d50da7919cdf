"""From what a layer shows to the inputs: a map over the image."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, fx


def over_inputs(maps: Tensor, inputs: Tensor) -> Tensor:
    """A layer's maps (N, channels, h, w), summed over channels and drawn at the size of `inputs`.

    Between the layer's positions they are interpolated; all channels of the image get the same map.
    """
    one = maps.detach().sum(dim=1, keepdim=True)
    drawn = F.interpolate(one, size=inputs.shape[2:], mode="bilinear", align_corners=False)
    return drawn.expand_as(inputs)


def passes_everything(module: fx.GraphModule, layer: str) -> bool:
    """True if whatever reaches the answer from the inputs passes `layer`: no branch leads around it."""
    pending = [node for node in module.graph.nodes if node.op == "placeholder"]
    seen = set(pending)
    while pending:
        node = pending.pop()
        if node.op == "output":
            return False
        if node.op == "call_module" and node.target == layer:
            continue
        pending += [user for user in node.users if user not in seen]
        seen.update(node.users)
    return True
