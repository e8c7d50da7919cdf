"""Layer conductance (Dhamdhere, Sundararajan & Yan 2019, "How Important Is a Neuron?")."""

from captum import attr

from analysis.explain.methods.base import Cost, Found, Method, Parameter, Request, Shape, Values
from analysis.explain.methods.maps import over_inputs, passes_everything

STEPS = Parameter(
    "steps", "Steps", 16, 4, 128, 4,
    "At how many places of the way from the empty input the gradient is taken: more are more exact.",
)  # fmt: skip


def compute(request: Request) -> Found:
    """How much of the change of the answer flows through each position of a layer, from an empty input on.

    At the layer, before it is drawn at the image's size, it adds up to the change of the answer if no branch
    of the network leads around the layer; else there is no delta.
    """
    heard = request.module.get_submodule(request.layer)
    shares = attr.LayerConductance(request.module, heard).attribute(
        request.inputs,
        request.baseline,
        target=request.target,
        n_steps=request.whole("steps"),
        internal_batch_size=max(request.together, 2 * len(request.inputs)),
    )
    whole = passes_everything(request.module, request.layer)
    delta = request.completeness(shares) if whole else None
    return Found(over_inputs(shares, request.inputs), delta)


def cost(values: Values, shape: Shape) -> Cost:
    return Cost(values["steps"] + 3, values["steps"] + 1)


METHOD = Method(
    "layer-conductance",
    "Layer conductance",
    "layer",
    "How much of the change of the answer, from an empty input on, flows through each place of a layer.",
    "Dhamdhere et al. 2019",
    compute,
    cost,
    (STEPS,),
    batch=16,
    needs_layer=True,
    is_map=True,
)
