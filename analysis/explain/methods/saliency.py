"""Saliency (Simonyan, Vedaldi & Zisserman 2014, "Deep Inside Convolutional Networks")."""

from captum import attr

from analysis.explain.methods.base import Found, Method, Request
from analysis.explain.tokens import token_saliency


def compute(request: Request) -> Found:
    """``|d answer / d input|``; of a token, the sum over the dimensions of its embedding."""
    if request.reads_tokens:
        return Found(token_saliency(request.module, request.inputs, request.target))
    return Found(attr.Saliency(request.module).attribute(request.inputs, target=request.target))


METHOD = Method(
    "saliency",
    "Saliency",
    "gradient",
    "How strongly the answer reacts to each input: the size of its gradient.",
    "Simonyan et al. 2014",
    compute,
    no_tokens="",
    is_signed=False,
    is_local=True,
)
