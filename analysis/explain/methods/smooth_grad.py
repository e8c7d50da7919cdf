"""SmoothGrad (Smilkov, Thorat, Kim, Viégas & Wattenberg 2017, "SmoothGrad: removing noise by adding noise")."""

from captum import attr

from analysis.explain.methods.base import Cost, Found, Method, Parameter, Request, Shape, Values
from analysis.explain.methods.gradient_shap import NOISE
from analysis.explain.methods.noise import deviation, seeded


def compute(request: Request) -> Found:
    """Mean of ``|d answer / d input|`` at noisy copies of the input."""
    tunnel = attr.NoiseTunnel(attr.Saliency(request.module))
    with seeded(request.inputs, request.seed):
        values = tunnel.attribute(
            request.inputs,
            nt_type="smoothgrad",
            nt_samples=request.whole("samples"),
            nt_samples_batch_size=request.together,
            stdevs=deviation(request.inputs, request.values["noise"]),
            target=request.target,
        )
    return Found(values)


def cost(values: Values, shape: Shape) -> Cost:
    return Cost(values["samples"], values["samples"])


METHOD = Method(
    "smooth-grad",
    "SmoothGrad",
    "gradient",
    "Saliency averaged over noisy copies of the input: less grainy.",
    "Smilkov et al. 2017",
    compute,
    cost,
    (
        Parameter("samples", "Samples", 24, 2, 128, 2, "How many noisy copies are averaged."),
        NOISE,
    ),
    is_signed=False,
    is_random=True,
    is_local=True,
)
