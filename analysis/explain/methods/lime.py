"""LIME (Ribeiro, Singh & Guestrin 2016, "Why Should I Trust You?")."""

from captum import attr
from captum._utils.models.linear_model import SkLearnRidge

from analysis.explain.methods.base import Cost, Found, Method, Request, Shape, Values
from analysis.explain.methods.kernel_shap import SAMPLES
from analysis.explain.methods.noise import seeded
from analysis.explain.methods.patches import PATCH, evenly, patches

_RIDGE = 1.0  # as in the authors' own code; the shrinkage does not depend on the size of the answers


def compute(request: Request) -> Found:
    """Coefficients of a ridge regression of the answer on which patches are present.

    Each patch is blanked out in half of the samples; samples count by ``exp(-d² / 2)``, where d is the cosine
    distance to the example. A coefficient is divided evenly among the patch's values.
    """
    mask = patches(request.shape, request.values["patch"])
    explainer = attr.Lime(request.module, interpretable_model=SkLearnRidge(alpha=_RIDGE))
    with seeded(request.inputs, request.seed):
        values = explainer.attribute(
            request.inputs,
            request.baseline,
            target=request.target,
            feature_mask=mask,
            n_samples=request.whole("samples"),
            perturbations_per_eval=request.together,
        )
    return Found(evenly(values, mask))


def cost(values: Values, shape: Shape) -> Cost:
    return Cost(values["samples"], drawn=values["samples"])


METHOD = Method(
    "lime",
    "LIME",
    "perturbation",
    "A simple linear model of how the answer depends on which inputs are present, near the example. Of images, "
    "patches of a regular grid take the place of pixels.",
    "Ribeiro et al. 2016",
    compute,
    cost,
    (SAMPLES, PATCH),
    no_tokens="weighs changed inputs by their distance, and the numbers of tokens have none",
    is_random=True,
)
