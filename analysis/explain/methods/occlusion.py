"""Occlusion (Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks")."""

import math

from captum import attr

from analysis.explain.methods.base import Cost, Found, Method, Parameter, Request, Shape, Values
from analysis.explain.methods.patches import patch_side


def compute(request: Request) -> Found:
    """Mean drop of the answer over all windows that blank an input out; windows overlap by half."""
    window, stride = _window(request.shape, request.values["window"])
    values = attr.Occlusion(request.module).attribute(
        request.inputs,
        window,
        strides=stride,
        baselines=request.baseline,
        target=request.target,
        perturbations_per_eval=max(1, request.together // len(request.inputs)),
    )
    return Found(values)


def _window(shape: Shape, share: float) -> tuple[Shape, Shape]:
    """Window and stride: a patch through all channels of an image, else one value."""
    if len(shape) != 3:
        return (1,) * len(shape), (1,) * len(shape)
    side = patch_side(shape, share)
    step = max(1, side // 2)
    return (shape[0], side, side), (shape[0], step, step)


def cost(values: Values, shape: Shape) -> Cost:
    window, stride = _window(shape, values["window"])
    steps = [-(-(size - w) // s) + 1 for size, w, s in zip(shape, window, stride, strict=True)]
    return Cost(math.prod(steps) + 1)


METHOD = Method(
    "occlusion",
    "Occlusion",
    "perturbation",
    "How much the answer drops when a patch is blanked out; of tables and tokens, one value at a time.",
    "Zeiler & Fergus 2014",
    compute,
    cost,
    (
        Parameter(
            "window", "Window size", 0.15, 0.05, 0.5, 0.05,
            "The side of the window that is blanked out, as a share of the image's shorter side. It moves on "
            "by half its side.",
            images_only=True,
        ),
    ),
    batch=16,
    no_tokens="",
    is_map=True,
)  # fmt: skip
