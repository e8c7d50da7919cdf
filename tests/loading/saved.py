"""Weights files made by torch and by hand, and how a refusal is checked."""

import io
import struct
import time
import tracemalloc
import zipfile

import pytest
import torch
from torch import nn

from analysis.errors import NetworkError
from analysis.loading.weights_file import read_weights


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def saved(thing, **options):
    buffer = io.BytesIO()
    torch.save(thing, buffer, **options)
    return buffer.getvalue()


def archive(pickled, records=(), *, extra=(), method=zipfile.ZIP_STORED):
    """An archive laid out as torch.save's, with a pickle of our own writing."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", "3\n")
        for name, content in records:
            file.writestr(f"archive/data/{name}", content)
        for name, content in extra:
            file.writestr(name, content)
    return buffer.getvalue()


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def storage(key, count, kind=b"FloatStorage"):
    """Opcodes that push a storage."""
    return (
        b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text(key) + text("cpu") + number(count) + b"tQ"
    )


def tensor(of, shape, strides, offset=0):
    """Opcodes that push a tensor on the storage `of`."""
    sides = b"(" + b"".join(map(number, shape)) + b"t"
    steps = b"(" + b"".join(map(number, strides)) + b"t"
    arguments = of + number(offset) + sides + steps + b"\x89" + b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def entry(value, key="w"):
    """A pickle of the dict {key: value}."""
    return b"\x80\x02}" + text(key) + value + b"s."


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


def refused(data, name="weights.pt"):
    """The refusal's sentence; quick, and without memory for what the file claims."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(NetworkError) as info:
            read_weights(data, name)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 20  # generous: tracing makes it ten times slower
    assert name in str(info.value)
    return str(info.value)
