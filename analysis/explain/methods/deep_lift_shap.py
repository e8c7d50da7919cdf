"""DeepLiftShap (Lundberg & Lee 2017, "A Unified Approach to Interpreting Model Predictions")."""

import torch
from captum import attr

from analysis.explain.methods.base import Cost, Found, Method, Parameter, Request, Shape, Values
from analysis.explain.methods.deep_lift import keep_apart
from analysis.explain.methods.gradient_shap import NOISE
from analysis.explain.methods.noise import deviation, seeded


def compute(request: Request) -> Found:
    """Mean of DeepLift over several nearly empty inputs: the empty one with noise.

    The values add up to the answer minus the *mean* answer to those.
    """
    count = request.whole("samples")
    with seeded(request.inputs, request.seed):
        noise = torch.randn(count, *request.shape)
    empty = request.baseline + deviation(request.inputs, request.values["noise"]) * noise
    values = attr.DeepLiftShap(request.module).attribute(request.inputs, empty, target=request.target)
    with torch.no_grad():
        outputs = request.module(empty).reshape(count, -1)
    nothing = outputs[:, 0 if request.target is None else int(request.target)].mean()
    total = values.detach().flatten(1).sum(dim=1)
    return Found(values, total - (request.answers(request.inputs) - nothing))


def cost(values: Values, shape: Shape) -> Cost:
    return Cost(3 * values["samples"] + 1, 2 * values["samples"])


METHOD = Method(
    "deep-lift-shap",
    "DeepLiftShap",
    "gradient",
    "DeepLift averaged over several nearly empty inputs: it depends less on what counts as empty.",
    "Lundberg & Lee 2017",
    compute,
    cost,
    (
        Parameter("samples", "Empty inputs", 8, 2, 32, 1, "How many nearly empty inputs are averaged."),
        NOISE,
    ),
    prepare=keep_apart,
    needs_rules=True,
    is_random=True,
)
