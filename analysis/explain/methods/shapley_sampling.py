"""Shapley value sampling (Castro, Gómez & Tejada 2009, "Polynomial calculation of the Shapley value")."""

from captum import attr

from analysis.explain.methods.base import Cost, Found, Method, Parameter, Request, Shape, Values
from analysis.explain.methods.noise import seeded
from analysis.explain.methods.patches import PATCH, evenly, patch_count, patches


def compute(request: Request) -> Found:
    """What each patch adds when the patches are put in one by one, mean over random orders.

    A patch's share is divided evenly among its values, so that all values add up to the change of the answer.
    """
    mask = patches(request.shape, request.values["patch"])
    with seeded(request.inputs, request.seed):
        values = attr.ShapleyValueSampling(request.module).attribute(
            request.inputs,
            request.baseline,
            target=request.target,
            feature_mask=mask,
            n_samples=request.whole("orders"),
            perturbations_per_eval=request.together,
        )
    shares = evenly(values.reshape(request.inputs.shape), mask)  # of a single output, it keeps the dimension
    return Found(shares, request.completeness(shares))


def cost(values: Values, shape: Shape) -> Cost:
    changed = values["orders"] * patch_count(shape, values["patch"])
    return Cost(changed + 3, drawn=changed)


METHOD = Method(
    "shapley-sampling",
    "Shapley value sampling",
    "perturbation",
    "What each input adds on average when inputs are put in one by one in random orders; they add up to the "
    "change of the answer. Of images, patches of a regular grid take the place of pixels.",
    "Castro et al. 2009",
    compute,
    cost,
    (
        Parameter("orders", "Random orders", 8, 2, 200, 2, "How many orders are tried: more are less noisy."),
        PATCH,
    ),
    no_tokens="",
    is_random=True,
)
