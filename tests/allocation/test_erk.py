"""ERK densities by hand, and against the authors' way to find them."""

import math
import random

import pytest

from analysis.allocation.methods.erk import STEPS, erk, erk_densities
from tests.allocation.problems import conv_gauge, mlp_gauge, problem_of


def test_two_layers_by_hand():
    """A 4 x 3 and a 10 x 100 layer: 7/12 to 110/1000 = 0.58333 to 0.11 is how their densities compare."""
    shapes = {"small": (7, 12), "large": (110, 1000)}
    # a tenth of 1,012 weights: scale * (7 + 110) = 101.2, scale = 0.864957
    found = erk_densities(shapes, 0.1)
    assert found == pytest.approx({"small": 0.864957 * 7 / 12, "large": 0.864957 * 0.11}, rel=1e-5)
    # half of them: the small layer would get 4.32 * 7 / 12 > 1, so it stays whole and the other has 506 - 12
    assert erk_densities(shapes, 0.5) == pytest.approx({"small": 1.0, "large": 494 / 1000})


def rigl(shapes, density):
    """The loop of the authors' code: find the factor epsilon, make layers dense until no probability is above 1."""
    dense = set()
    while True:
        divisor, rhs, raw = 0.0, 0.0, {}
        for name, (sides, size) in shapes.items():
            zeros, ones = size * (1 - density), size * density
            if name in dense:
                rhs -= zeros
            else:
                rhs += ones
                raw[name] = sides / size
                divisor += raw[name] * size
        if not raw:
            return dict.fromkeys(shapes, 1.0)
        epsilon = rhs / divisor
        largest = max(raw.values())
        if largest * epsilon <= 1 + 1e-12:
            return {name: 1.0 if name in dense else epsilon * raw[name] for name in shapes}
        dense |= {name for name, value in raw.items() if value == largest}


@pytest.mark.parametrize("density", [0.02, 0.1, 0.3, 0.5, 0.8, 0.99])
def test_densities_are_those_of_the_authors_loop_and_keep_the_sum(density):
    draw = random.Random(5)
    for _ in range(20):
        dims = [[draw.randint(1, 40) for _ in range(draw.choice([2, 4]))] for _ in range(6)]
        shapes = {str(i): (sum(d), math.prod(d)) for i, d in enumerate(dims)}
        found = erk_densities(shapes, density)
        assert found == pytest.approx(rigl(shapes, density))
        whole = sum(size for _, size in shapes.values())
        assert sum(found[n] * size for n, (_, size) in shapes.items()) == pytest.approx(density * whole)


def test_the_path_follows_the_densities_of_the_layers_shapes():
    problem = problem_of(mlp_gauge(), "weight")  # 7 x 5, 6 x 7 and 3 x 6 weights
    shapes = {"fc1": (12, 35), "fc2": (13, 42), "head": (9, 18)}
    path = erk(problem)
    for step in (300, 600, 800):
        densities = rigl(shapes, 1 - step / STEPS)
        assert path.at(step) == {n: int((1 - d) * shapes[n][1] + 0.5) for n, d in densities.items()}
    assert path.at(0) == dict.fromkeys(shapes, 0) and path.at(STEPS) == problem.limits


def test_a_group_counts_as_one_layer():
    problem = problem_of(conv_gauge(), "channel")  # 6 x 2 x 3 x 3 and 8 x 6 x 3 x 3 weights
    densities = rigl({"conv1": (14, 108), "conv2": (20, 432)}, 0.4)
    assert erk(problem).at(600) == {
        "conv1": int((1 - densities["conv1"]) * 6 + 0.5),
        "conv2": int((1 - densities["conv2"]) * 8 + 0.5),
    }
