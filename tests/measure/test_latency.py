"""Latency against a clock of our own: warm-up, number of runs, batch and quartiles."""

import copy
import dataclasses
import types

import numpy as np
import pytest
import torch
from torch import nn

from analysis.measure import latency as module
from analysis.measure.latency import Latency, latencies, latency
from analysis.network import Network
from analysis.tracing import trace


class Clock:
    """Time that passes only while the network runs."""

    def __init__(self, network: Network, *durations: float) -> None:
        self.now = 100.0
        self.durations = durations
        self.shapes: list[tuple[int, ...]] = []
        self.inputs: list[torch.Tensor] = []
        self.gradients = False
        network.module.register_forward_pre_hook(self._run)

    def _run(self, called: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        self.now += self.durations[len(self.shapes) % len(self.durations)]
        self.shapes.append(tuple(inputs[0].shape))
        self.inputs.append(inputs[0].clone())
        self.gradients |= torch.is_grad_enabled()


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 2))
    return trace(layers, torch.randn(1, 2, 5, 5), "timed")


@pytest.fixture
def clocked(network, monkeypatch):
    def start(*durations: float) -> Clock:
        clock = Clock(network, *durations)
        fake = types.SimpleNamespace(perf_counter=lambda: clock.now)
        monkeypatch.setattr(module, "time", fake)
        return clock

    return start


def test_a_steady_network_takes_what_it_takes(network, clocked):
    clocked(0.004)
    found = latency(network)
    assert (found.low, found.median, found.high) == pytest.approx((4, 4, 4))


def test_low_and_high_are_the_quartiles_of_the_timed_runs(network, clocked):
    clock = clocked(*[0.001 * (1 + i * i % 17) for i in range(23)])
    found = latency(network, budget=0.5)
    count = len(clock.shapes)
    durations = [clock.durations[i % 23] * 1000 for i in range(count - found.runs, count)]
    quartiles = np.quantile(durations, [0.25, 0.5, 0.75], method="weibull")
    assert (found.low, found.median, found.high) == pytest.approx(quartiles)
    assert found.low < found.median < found.high


def test_it_warms_up_for_a_quarter_of_the_budget_and_stops_when_it_is_spent(network, clocked):
    clock = clocked(0.0101)
    found = latency(network, budget=0.2)
    assert len(clock.shapes) - found.runs == 5  # 5 x 10.1 ms reach 50 ms
    assert len(clock.shapes) == 20  # 20 x 10.1 ms exceed 200 ms


def test_the_first_slow_run_is_warm_up(network, clocked):
    clocked(1.0, *[0.001] * 1000)
    assert latency(network).high == pytest.approx(1)


@pytest.mark.parametrize("runs", [1, 200])
def test_at_least_five_runs_are_timed(network, clocked, runs):
    clock = clocked(3.0)
    assert latency(network, budget=0.1, runs=runs).runs == 5
    assert len(clock.shapes) == 6


def test_no_more_runs_are_timed_than_asked(network, clocked):
    clocked(0.01)
    assert latency(network, budget=1, runs=30).runs == 30


@pytest.mark.parametrize("batch", [1, 7])
def test_the_batch_holds_copies_of_the_example(network, clocked, batch):
    clock = clocked(0.01)
    found = latency(network, batch=batch)
    assert found.batch == batch
    assert set(clock.shapes) == {(batch, 2, 5, 5)}
    assert all(torch.equal(x, network.example_input[0]) for x in clock.inputs[0])
    assert not clock.gradients


def test_the_real_clock_gives_sensible_figures(network):
    found = latency(network, budget=0.05)
    assert 0 < found.low <= found.median <= found.high < 1000
    assert found.runs >= 5
    assert found.threads == torch.get_num_threads()


def test_timing_changes_nothing(network):
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    example = network.example_input.clone()
    latency(network, batch=3, budget=0.02)
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
    assert all(parameter.grad is None for parameter in network.module.parameters())
    assert not any(layer.training for layer in network.module.modules())
    assert torch.equal(network.example_input, example)


def test_networks_are_timed_in_turn(network):
    """What a network is timed against must meet the same moments of the machine."""
    order: list[str] = []
    other = dataclasses.replace(network, module=copy.deepcopy(network.module))
    for name, one in (("a", network), ("b", other)):
        one.module.register_forward_pre_hook(lambda *_, name=name: order.append(name))
    first, second = latencies([network, other], budget=0.01, runs=5)
    assert order == ["a", "b"] * (len(order) // 2)
    assert first.runs == second.runs == 5


def test_overlap_of_the_middle_halves():
    times = [Latency(2, 1, 3, 1, 1, 9), Latency(4, 3, 5, 1, 1, 9), Latency(9, 8, 10, 1, 1, 9)]
    assert times[0].overlaps(times[1]) and times[1].overlaps(times[0])
    assert not times[0].overlaps(times[2]) and not times[2].overlaps(times[0])
