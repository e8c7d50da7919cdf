"""DeepLift, rescale rule (Shrikumar, Greenside & Kundaje 2017, "Learning Important Features")."""

from captum import attr
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR
from torch import fx, nn

from analysis.explain.methods.base import Cost, Found, Method, Request, Shape, Values
from analysis.explain.methods.hooks import own_inputs

# What Captum has rules for. Its rule for softmax takes a mean over all examples of a batch, and does not add up.
RULES: tuple[type[nn.Module], ...] = tuple(kind for kind in SUPPORTED_NON_LINEAR if kind is not nn.Softmax)


def compute(request: Request) -> Found:
    """``(input - empty) * multiplier``: an activation passes on (change of output) / (change of input)."""
    values = attr.DeepLift(request.module).attribute(request.inputs, request.baseline, target=request.target)
    return Found(values, request.completeness(values))


def keep_apart(module: fx.GraphModule) -> None:
    """Give every module that DeepLift has a rule for an input of its own."""
    own_inputs(module, RULES)


def cost(values: Values, shape: Shape) -> Cost:
    return Cost(4, 2)


METHOD = Method(
    "deep-lift",
    "DeepLift",
    "gradient",
    "The answer's difference from that to an empty input, shared out layer by layer by rules.",
    "Shrikumar et al. 2017",
    compute,
    cost,
    prepare=keep_apart,
    needs_rules=True,
)
