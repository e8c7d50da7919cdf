"""GradientShap (Lundberg & Lee 2017, "A Unified Approach to Interpreting Model Predictions"; Captum's form)."""

import torch
from captum import attr

from analysis.explain.methods.base import Cost, Found, Method, Parameter, Request, Shape, Values
from analysis.explain.methods.noise import deviation, seeded

NOISE = Parameter(
    "noise", "Noise", 0.1, 0.0, 0.5, 0.05,
    "The standard deviation of the noise, as a share of the example's own range of values.",
)  # fmt: skip


def compute(request: Request) -> Found:
    """Mean of ``(noisy input - empty) * d answer / d input`` at random places between the two."""
    samples, noise = request.whole("samples"), deviation(request.inputs, request.values["noise"])
    explainer = attr.GradientShap(request.module)
    values = torch.zeros_like(request.inputs)
    with seeded(request.inputs, request.seed):
        for start in range(0, samples, request.together):
            count = min(request.together, samples - start)
            values = values + count / samples * explainer.attribute(
                request.inputs, request.baseline, target=request.target, n_samples=count, stdevs=noise
            )
    return Found(values, request.completeness(values))


def cost(values: Values, shape: Shape) -> Cost:
    return Cost(values["samples"] + 2, values["samples"])


METHOD = Method(
    "gradient-shap",
    "GradientShap",
    "gradient",
    "Shapley values approximated by gradients at noisy inputs on the way from an empty one.",
    "Lundberg & Lee 2017",
    compute,
    cost,
    (
        Parameter("samples", "Samples", 16, 2, 64, 2, "How many noisy inputs are averaged."),
        NOISE,
    ),
    is_random=True,
)
