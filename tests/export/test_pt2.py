"""A .pt2 file answers like the network it was made from, at any batch size."""

import io

import pytest
import torch

import sample_models
from analysis.export import save_pt2, to_pt2
from analysis.network import Network
from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import prune

CASES = [
    ("digits-cnn", "dense"),
    ("digits-cnn", "channel"),
    ("digits-mlp", "weight"),
    ("fashion-lenet", "channel"),
    ("fashion-resnet", "channel"),
    ("auto-mpg-mlp", "dense"),
    ("auto-mpg-mlp", "channel"),
]


def _network(name: str, granularity: str) -> Network:
    network = sample_models.load(name).network
    if granularity == "dense":
        return network
    pruned = prune(network, uniform_plan(network, "l1", granularity, 0.5))
    if granularity == "channel":
        assert pruned.parameters() < network.parameters()
    else:
        assert int(pruned.weight(pruned.layers[0].name).count_nonzero()) < network.layers[0].connections
    return pruned


@pytest.mark.parametrize(("name", "granularity"), CASES)
def test_a_reloaded_network_answers_alike_at_any_batch_size(name, granularity):
    network = _network(name, granularity)
    inputs = sample_models.load(name).dataset.evaluation.inputs
    reloaded = torch.export.load(io.BytesIO(to_pt2(network))).module()
    for batch in (1, 2, 7):
        with torch.no_grad():
            expected, found = network.module(inputs[:batch]), reloaded(inputs[:batch])
        assert found.shape == expected.shape == (batch, expected.shape[1])
        assert (found - expected).abs().max() <= 1e-6 * max(1, float(expected.abs().max()))


def test_a_file_holds_the_same_network_and_its_length_is_returned(tmp_path):
    network = _network("auto-mpg-mlp", "channel")
    path = tmp_path / "pruned.pt2"
    assert save_pt2(network, path) == path.stat().st_size
    reloaded = torch.export.load(path)
    state, expected = reloaded.state_dict, network.module.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)


def test_channel_pruning_makes_the_file_smaller():
    sizes = {kind: len(to_pt2(_network("digits-mlp", kind))) for kind in ("dense", "channel")}
    assert sizes["channel"] < 0.5 * sizes["dense"]


def test_exporting_changes_nothing():
    network = _network("auto-mpg-mlp", "channel")
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    to_pt2(network)
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
    assert not any(module.training for module in network.module.modules())
    assert network.example_input.shape[0] == 1
