"""Input times gradient (Shrikumar, Greenside, Shcherbina & Kundaje 2016, "Not Just a Black Box")."""

from captum import attr

from analysis.explain.methods.base import Found, Method, Request


def compute(request: Request) -> Found:
    """``input * d answer / d input``."""
    return Found(attr.InputXGradient(request.module).attribute(request.inputs, target=request.target))


METHOD = Method(
    "input-x-gradient",
    "Input × gradient",
    "gradient",
    "The gradient times the input: what each input adds, to first order.",
    "Shrikumar et al. 2016",
    compute,
)
