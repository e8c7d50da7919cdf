"""Sizes: each encoding is lossless, each figure is the length of a real file."""

import math

import numpy as np
import pytest
import torch
import zstandard
from safetensors.numpy import load, save_file
from safetensors.torch import load as load_torch
from torch import nn

from analysis.measure.size import ENCODINGS, size, state_arrays
from analysis.network import Network
from analysis.tracing import trace

RNG = np.random.default_rng(0)
SPECIAL = np.array([0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 1], dtype=np.float32)
PAYLOADS = np.array([0x7FC01234, 0xFFC00001, 0x7F800001, 0x80000000, 0], dtype=np.uint32).view(np.float32)


def _sparse(*shape: int) -> np.ndarray:
    values = RNG.normal(size=shape).astype(np.float32)
    return np.where(RNG.random(shape) < 0.7, np.float32(0), values)


ARRAYS = {
    "matrix": _sparse(6, 5),
    "kernels": _sparse(4, 3, 3, 3),
    "vector": _sparse(17),
    "empty vector": np.zeros(0, dtype=np.float32),
    "matrix without columns": np.zeros((3, 0), dtype=np.float32),
    "matrix without rows": np.zeros((0, 3), dtype=np.float32),
    "scalar": np.array(12345, dtype=np.int64),  # BatchNorm's num_batches_tracked
    "zero scalar": np.array(0, dtype=np.int64),
    "all zero": np.zeros((4, 4), dtype=np.float32),
    "no zero": np.ones((3, 7), dtype=np.float32),
    "one row": _sparse(1, 30),
    "empty rows": np.array([[0, 0], [0, 3], [0, 0]], dtype=np.float32),
    "signed zeros and infinities": SPECIAL,
    "the same as a matrix": np.stack([SPECIAL, SPECIAL[::-1]]),
    "NaN payloads": PAYLOADS,
    "NaN payloads as a matrix": PAYLOADS[None],
    "doubles": RNG.normal(size=(3, 3)),
    "halves": _sparse(5, 5).astype(np.float16),
    "booleans": RNG.random((4, 9)) < 0.5,
    "bytes": RNG.integers(-3, 3, (5, 3)).astype(np.int8),
}


def _assert_identical(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda e: e.label)
@pytest.mark.parametrize("name", ARRAYS)
def test_decoding_gives_the_same_bits(encoding, name):
    expected = ARRAYS[name]
    decoded = encoding.decode(encoding.encode({"layer.weight": expected}))
    assert decoded.keys() == {"layer.weight"}
    _assert_identical(decoded["layer.weight"], expected)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda e: e.label)
def test_many_arrays_keep_their_names(encoding):
    arrays = {f"block.{i}.{name}": values for i, (name, values) in enumerate(ARRAYS.items()) if values.size}
    decoded = encoding.decode(encoding.encode(arrays))
    assert decoded.keys() == arrays.keys()
    for name, expected in arrays.items():
        _assert_identical(decoded[name], expected)


def _network(zero: float = 0.0) -> Network:
    """A 128-128-10 network with BatchNorm, `zero` of its linear weights exactly 0."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))
    with torch.no_grad():
        for layer in (module[0], module[3]):
            layer.weight[torch.rand(layer.weight.shape) < zero] = 0
    return trace(module, torch.zeros(1, 128), "sized")


def test_state_arrays_are_the_networks_tensors():
    network = _network()
    state, arrays = network.module.state_dict(), state_arrays(network)
    assert arrays.keys() == state.keys()
    assert "1.num_batches_tracked" in arrays
    for name, values in arrays.items():
        _assert_identical(values, np.array(state[name].tolist(), dtype=values.dtype))


@pytest.mark.parametrize("zero", [0, 0.5, 0.9, 0.999])
def test_sizes_are_those_of_files_on_disk(tmp_path, zero):
    network = _network(zero)
    arrays = state_arrays(network)
    save_file(arrays, tmp_path / "plain.safetensors")
    lengths = {}
    for encoding in ENCODINGS:
        file = tmp_path / encoding.label.replace(" ", "_")
        file.write_bytes(encoding.encode(arrays))
        lengths[encoding.label] = file.stat().st_size
    found = size(network)
    assert found.saved == (tmp_path / "plain.safetensors").stat().st_size
    assert found.best == min(lengths.values())
    assert lengths[found.best_encoding] == found.best
    assert found.best <= found.saved


def test_a_sparse_network_is_smallest_as_a_bitmask():
    found = size(_network(zero=0.9))
    assert "bitmask" in found.best_encoding
    assert found.best < 0.2 * found.saved


def test_a_bitmask_takes_one_bit_a_value_and_the_nonzero_values():
    arrays = state_arrays(_network(zero=0.9))
    (encoding,) = [entry for entry in ENCODINGS if entry.label == "bitmask + values"]
    encoded = encoding.encode(arrays)
    header = 8 + int.from_bytes(encoded[:8], "little")
    bits = sum(math.ceil(values.size / 8) for values in arrays.values())
    nonzero = sum(values.itemsize * np.count_nonzero(values) for values in arrays.values())
    shapes = sum(8 * values.ndim for values in arrays.values())
    assert len(encoded) == header + bits + nonzero + shapes


def test_a_dense_network_gains_nothing_from_skipping_zeros():
    found = size(_network())
    assert "bitmask" not in found.best_encoding and "CSR" not in found.best_encoding
    assert found.best > 0.85 * found.saved


def test_zeros_saved_densely_save_nothing():
    assert size(_network(zero=0.9)).saved == size(_network()).saved


def test_the_files_are_what_their_names_say():
    network = _network(zero=0.9)
    arrays = state_arrays(network)
    encoded = {encoding.label: encoding.encode(arrays) for encoding in ENCODINGS}
    for name, values in load_torch(encoded["safetensors"]).items():
        assert torch.equal(values, network.module.state_dict()[name])
    unpacked = zstandard.ZstdDecompressor().decompress(encoded["safetensors + zstd"])
    assert unpacked == encoded["safetensors"]
    csr, mask = load(encoded["CSR, 32-bit indices"]), load(encoded["bitmask + values"])
    nonzero = int(network.weight("0").count_nonzero())
    assert csr["0.weight/columns"].dtype == np.int32 and len(csr["0.weight/columns"]) == nonzero
    assert csr["0.weight/ends"].tolist()[-1] == nonzero and len(csr["0.weight/ends"]) == 128
    assert mask["0.weight/mask"].nbytes == 128 * 128 // 8
    assert mask["0.weight/values"].nbytes == 4 * nonzero
