"""Bias compensation: what removed connections said on average goes into the bias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from analysis.recovery.lockstep import Mended, Progress, mend_layers
from analysis.recovery.meeting import NO_PLACE, Meeting, mean_by_channel
from analysis.recovery.pruned import Pruned


@dataclass(frozen=True)
class Compensation:
    """How many examples the means are taken over."""

    examples: int = 1024


def compensate(
    pruned: Pruned,
    settings: Compensation = Compensation(),
    progress: Progress = lambda share: None,
) -> Mended:
    """Give each layer back the mean that its answers have lost.

    To each channel o of a layer is added ``mean(y_o) - mean(z_o)``: y is the dense network's answer, z what the
    layer answers here, both over all examples and positions. Where the layer reads what it read before, this is
    the mean of each removed input times its weight, for removed channels and single weights alike. Layers are
    mended from the input on, each with what it reads here, so that errors do not add up ("empirical bias
    correction", Nagel et al. 2019). At the borders of a padded convolution a removed channel said
    less than inside; the mean counts each position as often as it occurs.

    Layers without a bias have it in the BatchNorm after them, as ``running_mean - constant``, which is the same.
    """
    return mend_layers(pruned, settings.examples, _constant, progress)


def _constant(meeting: Meeting) -> Mapping[str, nn.Module] | str:
    if not meeting.takes_constant:
        return NO_PLACE
    lost = mean_by_channel(meeting.module, meeting.wanted) - mean_by_channel(meeting.module, meeting.answered)
    return meeting.with_values(constant=lost)
