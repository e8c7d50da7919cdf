"""Deconvolution (Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks")."""

from captum import attr

from analysis.explain.methods.base import Found, Method, Request
from analysis.explain.methods.guided_backprop import own_relu_inputs


def compute(request: Request) -> Found:
    """The gradient, of which each ReLU passes back what is positive, whatever its own input was."""
    return Found(attr.Deconvolution(request.module).attribute(request.inputs, target=request.target))


METHOD = Method(
    "deconvolution",
    "Deconvolution",
    "gradient",
    "The gradient with each ReLU turned around: only positive signals go back, even through closed ReLUs.",
    "Zeiler & Fergus 2014",
    compute,
    prepare=own_relu_inputs,
    needs_relu=True,
    is_local=True,
)
