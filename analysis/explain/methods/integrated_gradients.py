"""Integrated gradients (Sundararajan, Taly & Yan 2017, "Axiomatic Attribution for Deep Networks")."""

from captum import attr

from analysis.explain.methods.base import Cost, Found, Method, Parameter, Request, Shape, Values
from analysis.explain.tokens import token_integrated_gradients


def compute(request: Request) -> Found:
    """``(input - empty) * mean of d answer / d input`` on the straight way between them.

    The mean is taken by Gauss-Legendre quadrature. Of tokens, the way leads through their embeddings.
    """
    steps = request.whole("steps")
    if request.reads_tokens:
        values = token_integrated_gradients(
            request.module, request.inputs, request.target, request.baseline, steps, request.together
        )
    else:
        values = attr.IntegratedGradients(request.module).attribute(
            request.inputs,
            request.baseline,
            target=request.target,
            n_steps=steps,
            internal_batch_size=request.together,
        )
    return Found(values, request.completeness(values))


def cost(values: Values, shape: Shape) -> Cost:
    return Cost(values["steps"] + 2, values["steps"])


METHOD = Method(
    "integrated-gradients",
    "Integrated gradients",
    "gradient",
    "Gradients gathered on the way from an empty input; they add up to the change of the answer.",
    "Sundararajan et al. 2017",
    compute,
    cost,
    (
        Parameter(
            "steps", "Steps", 32, 4, 256, 4,
            "At how many places of the way the gradient is taken: more make the values add up more exactly.",
        ),
    ),
    batch=16,
    no_tokens="",
)  # fmt: skip
