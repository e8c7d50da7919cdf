"""KernelShap (Lundberg & Lee 2017, "A Unified Approach to Interpreting Model Predictions")."""

from captum import attr

from analysis.explain.methods.base import Cost, Found, Method, Parameter, Request, Shape, Values
from analysis.explain.methods.noise import seeded
from analysis.explain.methods.patches import PATCH, evenly, patches


def compute(request: Request) -> Found:
    """Coefficients of a linear model of the answer to inputs with random patches blanked out.

    The sets are drawn by the Shapley kernel, so that the coefficients tend to the Shapley values. Each is
    divided evenly among the patch's values.
    """
    mask = patches(request.shape, request.values["patch"])
    if int(mask.max()) == 0:  # a single player gets all there is, and has no kernel
        change = request.answers(request.inputs) - request.answers(request.baseline)
        values = change.reshape(-1, *[1] * len(request.shape)).expand(request.inputs.shape)
    else:
        with seeded(request.inputs, request.seed):
            values = attr.KernelShap(request.module).attribute(
                request.inputs,
                request.baseline,
                target=request.target,
                feature_mask=mask,
                n_samples=request.whole("samples"),
                perturbations_per_eval=request.together,
            )
    shares = evenly(values, mask)
    return Found(shares, request.completeness(shares))


def cost(values: Values, shape: Shape) -> Cost:
    return Cost(values["samples"] + 2, drawn=values["samples"])


SAMPLES = Parameter(
    "samples", "Samples", 200, 20, 2000, 20,
    "How many times random inputs are blanked out. Fewer than there are inputs (or patches) cannot tell them "
    "apart.",
)  # fmt: skip

METHOD = Method(
    "kernel-shap",
    "KernelShap",
    "perturbation",
    "Shapley values from a linear model of the answer to inputs with random parts blanked out. Of images, "
    "patches of a regular grid take the place of pixels.",
    "Lundberg & Lee 2017",
    compute,
    cost,
    (SAMPLES, PATCH),
    no_tokens="",
    is_random=True,
)
