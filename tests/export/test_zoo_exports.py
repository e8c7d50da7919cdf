"""Every network of the zoo leaves, whole and pruned, and answers outside as it does here."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from analysis.export import FORMATS, checked
from analysis.export.stranger import imported
from tests.export.shipments import dataset_of, plan_of, shipped, write_into
from tests.zoo.judged import TOLERANCE, deviation, task_of, tiny_split
from tests.zoo.networks import BY_NAME, ZOO
from tests.zoo.opened import from_module, module

NAMES = [network.name for network in ZOO]

# Networks that between them hold every kind of module, function and method of the zoo that ONNX has to know; the
# whole zoo takes minutes: python -m benchmarks.exports.
ONNX = (
    "vit-multi-query",
    "embedding-masked",
    "gpt",
    "cbam",
    "densenet",
    "functional",
    "lstm-bidirectional-mean",
    "gru-tokens",
    "conv1d",
    "conv3d",
    "causal-conv1d",
    "pixelshuffle",
    "transposed-convolution",
    "instancenorm",
    "groupnorm",
    "mobilenet-v2",
    "unet",
    "glu-module",
    "prelu-per-channel",
    "vit-fused",
)


def shipment_of(name: str, granularity: str):
    network, split = from_module(name), tiny_split(name)
    return shipped(network, dataset_of(split, task_of(name)), plan_of(network, granularity))


@pytest.mark.parametrize("name", NAMES)
def test_files_answer_as_the_network_does(name):
    """Half of the channels gone and half of the weights they leave; dense and each alone: the benchmark of exports."""
    shipment = shipment_of(name, "both")
    inputs = shipment.examples.inputs
    for kind in ("pt2", "safetensors", "packed"):
        found = checked(FORMATS[kind], shipment)
        assert found.difference <= TOLERANCE * max(1.0, float(shipment.expected.abs().max()))
        for count in (1, 3):
            few = FORMATS[kind].answers(found.files, inputs[:count], shipment.dense)
            assert deviation(few, shipment.expected[:count]) <= TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_a_dense_network_leaves_as_the_module_that_came(name):
    shipment = shipment_of(name, "dense")
    with torch.no_grad():
        whole = module(name)(shipment.examples.inputs)
    assert deviation(shipment.expected, whole) <= TOLERANCE
    assert checked(FORMATS["safetensors"], shipment).difference <= TOLERANCE * max(
        1.0, float(whole.abs().max())
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_script_makes_it_from_the_original_file_with_torch_alone(name, only_torch, tmp_path):
    """The original is saved from the module itself, under the names that it has there."""
    original = tmp_path / "original.safetensors"
    save_file({key: value.clone() for key, value in module(name).state_dict().items()}, original)
    shipment = shipment_of(name, "both")
    folder = write_into(tmp_path / "script", FORMATS["script"].write(shipment))
    assert only_torch.reproduce(folder, original)[0] == 0
    network = imported(folder / "network.py").load(folder / "pruned.pt")
    inputs = BY_NAME[name].inputs(6, seed=5)  # others than the script has seen
    with torch.no_grad():
        assert deviation(network(inputs), shipment.pruned.module(inputs)) <= TOLERANCE
    given = set(json.loads((folder / "recipe.json").read_text())["tensors"])
    assert {layer.name for layer in shipment.pruned.layers} <= {key.rpartition(".")[0] for key in given}


@pytest.mark.parametrize("name", ONNX)
def test_onnxruntime_answers_as_the_network_does(name):
    shipment = shipment_of(name, "channel")
    found = checked(FORMATS["onnx"], shipment)
    assert found.difference <= 1e-4 * max(1.0, float(shipment.expected.abs().max()))
    one = FORMATS["onnx"].answers(found.files, shipment.examples.inputs[:1], shipment.dense)
    assert deviation(one, shipment.expected[:1]) <= 1e-4
