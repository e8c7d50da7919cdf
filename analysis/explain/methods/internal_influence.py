"""Internal influence (Leino, Sen, Datta, Fredrikson & Li 2018, "Influence-Directed Explanations")."""

from captum import attr

from analysis.explain.methods.base import Cost, Found, Method, Request, Shape, Values
from analysis.explain.methods.layer_conductance import STEPS
from analysis.explain.methods.maps import over_inputs


def compute(request: Request) -> Found:
    """Gradient of the answer at a layer, averaged on the way from an empty input, summed over channels."""
    heard = request.module.get_submodule(request.layer)
    maps = attr.InternalInfluence(request.module, heard).attribute(
        request.inputs,
        request.baseline,
        target=request.target,
        n_steps=request.whole("steps"),
        internal_batch_size=max(request.together, len(request.inputs)),
    )
    return Found(over_inputs(maps, request.inputs))


def cost(values: Values, shape: Shape) -> Cost:
    return Cost(values["steps"], values["steps"])


METHOD = Method(
    "internal-influence",
    "Internal influence",
    "layer",
    "How strongly the answer reacts to each place of a layer, on average from an empty input on.",
    "Leino et al. 2018",
    compute,
    cost,
    (STEPS,),
    batch=16,
    needs_layer=True,
    is_map=True,
    is_local=True,
)
