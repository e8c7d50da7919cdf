"""Where values come from, by hand."""

from __future__ import annotations

import torch
from torch import nn

from analysis.export.origins import origins
from analysis.pruning.prune import remove
from analysis.pruning.selection import Selection
from tests.networks import ConvNet, FlatNet, Mlp, load, randomise
from tests.zoo.opened import from_module


def test_rows_and_columns_of_a_perceptron():
    network = load(randomise(Mlp()), (5,))
    mask = torch.zeros(6, 7, dtype=torch.bool)
    mask[1, 2] = mask[4, 0] = True
    found = origins(network, Selection({"fc1": (0, 3)}, {"fc2": mask}))
    kept = (1, 2, 4, 5, 6)
    assert {name: origin.keep for name, origin in found.items()} == {
        "fc1.weight": (kept, None),
        "fc1.bias": (kept,),
        "fc2.weight": (None, kept),
        "fc2.bias": (None,),
        "head.weight": (None, None),
        "head.bias": (None,),
    }
    zeroed = found["fc2.weight"].zeroed
    assert zeroed is not None and zeroed.nonzero().tolist() == [[1, 1]]  # [4, 0] has gone with channel 0
    assert all(origin.zeroed is None for name, origin in found.items() if name != "fc2.weight")


def test_a_channel_that_is_flattened_takes_its_map_along():
    network = load(randomise(FlatNet()), (1, 7, 7))
    found = origins(network, Selection({"conv": (1, 3)}))
    assert found["fc.weight"].keep == (None, (*range(25), *range(50, 75)))


def test_statistics_are_kept_with_their_channels_and_counts_are_left_out():
    found = origins(load(randomise(ConvNet()), (2, 5, 5)), Selection({"conv1": (5,)}))
    assert found["bn1.running_var"].keep == (tuple(range(5)),)
    assert "bn1.num_batches_tracked" not in found


def test_every_gate_loses_its_rows():
    network = from_module("gru")
    name = next(layer.name for layer in network.layers if layer.type == "Recurrent")
    group = next(group for group in network.groups if group.is_prunable and name in group.members)
    hidden = network.module.get_submodule(name).hidden_size
    origin = origins(network, Selection({group.name: (0,)}))[f"{name}.weight_hh"]
    assert origin.keep == (tuple(i for i in range(3 * hidden) if i % hidden), tuple(range(1, hidden)))


def test_what_is_left_is_what_pruning_leaves():
    network = load(randomise(ConvNet()), (2, 5, 5))
    selection = Selection({"conv1": (1, 2), "conv2": (0,)}, {"head": torch.eye(4, 8, dtype=torch.bool)})
    before, after = network.module.state_dict(), remove(network, selection).module.state_dict()
    for name, origin in origins(network, selection).items():
        assert torch.equal(origin.of(before[name]), after[name]), name


def test_values_that_no_layer_has_and_nobody_learned_are_left_out():
    network = from_module("gpt")
    constants = {
        f"{node.target}.value"
        for node in network.module.graph.nodes
        if node.op == "call_module" and "value" in network.module.get_submodule(node.target)._buffers
    }
    assert constants and not constants & origins(network, Selection()).keys()


def test_the_network_is_not_written_to():
    network = load(randomise(ConvNet()), (2, 5, 5))
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    origins(network, Selection({"conv1": (1,)}))
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
    assert isinstance(network.module.get_submodule("conv1").weight, nn.Parameter)
