"""Feature ablation: leave one out (Captum; Robnik-Šikonja & Kononenko 2008, "Explaining Classifications")."""

from captum import attr

from analysis.explain.methods.base import Cost, Found, Method, Request, Shape, Values
from analysis.explain.methods.patches import PATCH, evenly, patch_count, patches


def compute(request: Request) -> Found:
    """Drop of the answer when one patch is blanked out, divided evenly among its values."""
    mask = patches(request.shape, request.values["patch"])
    values = attr.FeatureAblation(request.module).attribute(
        request.inputs,
        request.baseline,
        target=request.target,
        feature_mask=mask,
        perturbations_per_eval=max(1, request.together // len(request.inputs)),
    )
    return Found(evenly(values, mask))


def cost(values: Values, shape: Shape) -> Cost:
    return Cost(patch_count(shape, values["patch"]) + 1)


METHOD = Method(
    "feature-ablation",
    "Feature ablation",
    "perturbation",
    "How much the answer drops when one input alone is blanked out. Of images, patches of a regular grid are "
    "blanked out, so that it stays affordable.",
    "Robnik-Šikonja & Kononenko 2008",
    compute,
    cost,
    (PATCH,),
    batch=16,
    no_tokens="",
)
