"""Packed weights: the bytes that the screen counts, and a loader that gets every value back."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.export import FORMATS
from analysis.export.packed import loader
from analysis.measure.size import ENCODINGS, size, state_arrays
from analysis.tasks import CLASSIFICATION
from tests.export.shipments import dataset_of, plan_of, shipped
from tests.networks import ConvNet, load, randomise, split
from tests.zoo.opened import from_module


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: encoding.label)
@pytest.mark.parametrize("name", ["gpt", "embedding-masked", "resnet-padded"])
def test_the_loader_of_each_encoding_gets_every_bit_back(encoding, name):
    arrays = state_arrays(from_module(name))
    place: dict = {}
    exec(loader(encoding.label), place)
    found = place["decode"](encoding.encode(arrays))
    assert found.keys() == arrays.keys()
    for key, values in arrays.items():
        assert found[key].dtype == values.dtype and found[key].shape == values.shape
        assert found[key].tobytes() == np.ascontiguousarray(values).tobytes()


@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.97])
def test_the_file_is_as_long_as_the_screen_says(ratio):
    network = load(randomise(ConvNet()), (2, 5, 5))
    plan = plan_of(network, "weight", ratio)
    shipment = shipped(network, dataset_of(split((2, 5, 5), 4, 4), CLASSIFICATION), plan)
    files = FORMATS["packed"].write(shipment)
    measured = size(shipment.pruned)
    assert len(files["weights.packed"]) == measured.best
    assert measured.best_encoding in files["unpack.py"].decode()
    assert len(FORMATS["safetensors"].write(shipment)["network.safetensors"]) == measured.saved
