"""Guided backpropagation (Springenberg, Dosovitskiy, Brox & Riedmiller 2015, "Striving for Simplicity")."""

from captum import attr
from torch import fx, nn

from analysis.explain.methods.base import Found, Method, Request
from analysis.explain.methods.hooks import own_inputs


def compute(request: Request) -> Found:
    """The gradient, of which each ReLU passes back what is positive where its own input was."""
    return Found(attr.GuidedBackprop(request.module).attribute(request.inputs, target=request.target))


def own_relu_inputs(module: fx.GraphModule) -> None:
    """Give every ReLU an input of its own."""
    own_inputs(module, (nn.ReLU,))


METHOD = Method(
    "guided-backprop",
    "Guided backprop",
    "gradient",
    "The gradient with negative signals dropped at each ReLU: sharp, but it depends little on the answer.",
    "Springenberg et al. 2015",
    compute,
    prepare=own_relu_inputs,
    needs_relu=True,
    is_local=True,
)
