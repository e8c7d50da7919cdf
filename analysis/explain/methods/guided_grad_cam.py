"""Guided GradCAM (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks")."""

from captum import attr

from analysis.explain.methods.base import Cost, Found, Method, Request, Shape, Values
from analysis.explain.methods.guided_backprop import own_relu_inputs


def compute(request: Request) -> Found:
    """Guided backprop times what GradCAM finds *for* the answer (below 0 counts as 0), interpolated."""
    heard = request.module.get_submodule(request.layer)
    values = attr.GuidedGradCam(request.module, heard).attribute(
        request.inputs, target=request.target, interpolate_mode="bilinear"
    )
    return Found(values)


def cost(values: Values, shape: Shape) -> Cost:
    return Cost(2, 2)


METHOD = Method(
    "guided-grad-cam",
    "Guided GradCAM",
    "layer",
    "Guided backprop where GradCAM speaks for the answer: sharp, and bound to the answer.",
    "Selvaraju et al. 2017",
    compute,
    cost,
    prepare=own_relu_inputs,
    needs_layer=True,
    needs_relu=True,
    is_local=True,
)
