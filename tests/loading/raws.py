"""Raw data made up for tests."""

import torch
from torch import Tensor

from analysis.loading.raw import Kind, RawData


def raw(
    inputs: Tensor,
    targets: Tensor | list[int] | list[float],
    *,
    class_names: tuple[str, ...] = (),
    feature_names: tuple[str, ...] = (),
    kind: Kind = "arrays",
) -> RawData:
    values = torch.as_tensor(targets)
    return RawData("mine.npz", inputs, values, class_names, feature_names, "all of mine.npz", kind)
