"""Layer activation: what a layer says, whatever the answer (Captum)."""

from captum import attr

from analysis.explain.methods.base import Cost, Found, Method, Request, Shape, Values
from analysis.explain.methods.maps import over_inputs


def compute(request: Request) -> Found:
    """The layer's values, summed over its channels."""
    heard = request.module.get_submodule(request.layer)
    return Found(
        over_inputs(attr.LayerActivation(request.module, heard).attribute(request.inputs), request.inputs)
    )


def cost(values: Values, shape: Shape) -> Cost:
    return Cost(1)


METHOD = Method(
    "layer-activation",
    "Layer activation",
    "layer",
    "Where a layer's channels are active, whatever the answer.",
    "Kokhlikyan et al. 2020",
    compute,
    cost,
    needs_layer=True,
    is_signed=False,
    has_target=False,
    is_map=True,
)
