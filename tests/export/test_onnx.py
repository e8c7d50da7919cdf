"""What ONNX has nothing for is written otherwise, or refused by its name."""

from __future__ import annotations

import re

import onnx
import pytest
import torch
from torch import nn

from analysis.errors import ExportError
from analysis.export import FORMATS, checked
from analysis.tasks import CLASSIFICATION
from tests.export.shipments import dataset_of, plan_of, shipped
from tests.networks import load, split
from tests.written import VECTOR, Written, brought


def pooled(pool: nn.Module, shape: tuple[int, ...], features: int):
    torch.manual_seed(0)
    layers = {1: nn.Conv1d, 2: nn.Conv2d}[len(shape) - 1](shape[0], 4, 1)
    network = load(nn.Sequential(layers, pool, nn.Flatten(), nn.Linear(features, 3)).eval(), shape)
    return shipped(network, dataset_of(split(shape, 3, 6), CLASSIFICATION), plan_of(network, "channel", 0.25))


@pytest.mark.parametrize(
    ("pool", "shape", "features"),
    [
        (nn.AdaptiveMaxPool1d(1), (2, 7), 4),
        (nn.AdaptiveMaxPool2d((None, 2)), (2, 3, 4), 24),
        (nn.AdaptiveMaxPool2d(2), (2, 4, 6), 16),
        (nn.AdaptiveMaxPool2d((3, 2)), (2, 7, 5), 24),  # windows that overlap
    ],
)
def test_adaptive_max_pooling_leaves_in_operators_that_onnx_has(pool, shape, features):
    shipment = pooled(pool, shape, features)
    found = checked(FORMATS["onnx"], shipment)
    assert found.difference < 1e-5
    written = onnx.load_model_from_string(found.files["network.onnx"])
    onnx.checker.check_model(written)
    for value in (*written.graph.input, *written.graph.output):  # the batch is free, and called so
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert not {
        dim.dim_param
        for value in written.graph.value_info
        for dim in value.type.tensor_type.shape.dim
        if re.fullmatch(r"s\d+", dim.dim_param)
    }


def test_what_onnx_has_nothing_for_is_refused_with_its_name_and_a_remedy():
    network = brought(Written(lambda own, x: own.fc(torch.cummax(x, 1).values), fc=nn.Linear(6, 3)), VECTOR)
    shipment = shipped(network, dataset_of(split(VECTOR, 3, 6), CLASSIFICATION), plan_of(network, "weight"))
    with pytest.raises(ExportError, match=r"nothing for the operator aten\.cummax\. Take the \.pt2 file"):
        checked(FORMATS["onnx"], shipment)
    assert checked(FORMATS["pt2"], shipment).difference == 0


def test_a_file_that_is_no_onnx_is_refused_in_words():
    shipment = pooled(nn.AdaptiveMaxPool1d(1), (2, 7), 4)
    with pytest.raises(ExportError, match="onnxruntime does not run the ONNX file"):
        FORMATS["onnx"].answers({"network.onnx": b"nothing"}, shipment.examples.inputs, shipment.dense)
