"""GradCAM (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks")."""

from captum import attr

from analysis.explain.methods.base import Found, Method, Request
from analysis.explain.methods.maps import over_inputs


def compute(request: Request) -> Found:
    """Channels of a layer weighted by the mean of their gradient, summed; signs are kept."""
    heard = request.module.get_submodule(request.layer)
    maps = attr.LayerGradCam(request.module, heard).attribute(
        request.inputs, target=request.target, relu_attributions=False
    )
    return Found(over_inputs(maps, request.inputs))


METHOD = Method(
    "grad-cam",
    "GradCAM",
    "layer",
    "Where a convolution's channels speak for the answer, coarsely.",
    "Selvaraju et al. 2017",
    compute,
    needs_layer=True,
    is_map=True,
    is_local=True,
)
