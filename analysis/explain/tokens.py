"""Attribution for networks that read tokens: gradients start where the tokens become numbers.

A token has no gradient, its embedding has. What the embedding's dimensions get is summed, one value a token.
"""

from __future__ import annotations

from typing import Any

import torch
from captum import attr
from torch import Tensor, fx, nn

_CONVERSIONS = ("long", "int", "to", "contiguous", "clone")


def token_embedding(module: fx.GraphModule) -> str | None:
    """The name of the one nn.Embedding that reads the network's input; None if there is none, or several."""
    found = []
    pending = [next(node for node in module.graph.nodes if node.op == "placeholder")]
    while pending:
        for user in pending.pop().users:
            if user.op == "call_method" and user.target in _CONVERSIONS:
                pending.append(user)
            elif user.op == "call_module":
                name = str(user.target)
                if isinstance(module.get_submodule(name), nn.Embedding):
                    found.append(name)
    return found[0] if len(found) == 1 else None


def token_saliency(module: fx.GraphModule, tokens: Tensor, target: Tensor | None) -> Tensor:
    """The size of the gradient at each token's embedding, (N, T): the sum over its dimensions of |gradient|."""
    heard: list[Tensor] = []

    def listen(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        heard.append(output.detach().requires_grad_(True))
        return heard[-1]

    name = token_embedding(module)
    assert name is not None
    hook = module.get_submodule(name).register_forward_hook(listen)
    try:
        outputs = module(tokens)
    finally:
        hook.remove()
    said = outputs if target is None else outputs.gather(1, target[:, None])
    (gradient,) = torch.autograd.grad(said.sum(), heard)
    return gradient.abs().sum(dim=-1)


def token_integrated_gradients(
    module: fx.GraphModule, tokens: Tensor, target: Tensor | None, baseline: Tensor, steps: int, together: int
) -> Tensor:
    """Integrated gradients (N, T) from the tokens `baseline` (N, T), in embedding space.

    They add up to the change of the answer. `together` evaluations are made at once.
    """
    name = token_embedding(module)
    assert name is not None
    values = attr.LayerIntegratedGradients(module, module.get_submodule(name)).attribute(
        tokens,
        baseline,
        target=target,
        n_steps=steps,
        internal_batch_size=together,
    )
    assert isinstance(values, Tensor)
    return values.sum(dim=-1)


def empty_token(module: fx.GraphModule, baseline: float) -> int:
    """The token that means "nothing": the embedding's own padding token, or else `baseline`."""
    name = token_embedding(module)
    padding = module.get_submodule(name).padding_idx if name is not None else None
    return int(baseline) if padding is None else int(padding)  # type: ignore[arg-type]
