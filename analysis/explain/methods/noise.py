"""Chance that repeats: an example's noise depends on its content and the seed alone.

Captum draws from the global generators of torch and NumPy, which all sessions of a server share. So they are
lent to one example at a time, and put back as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

_LOCK = RLock()


@contextmanager
def seeded(inputs: Tensor, seed: int) -> Iterator[None]:
    """Seed the global generators with `seed` and the content of `inputs`; afterwards they are as before.

    The same example gets the same noise from every network, in whatever batch it comes.
    """
    own = (crc32(inputs.detach().numpy().tobytes()) + seed) % 2**32
    with _LOCK, torch.random.fork_rng(devices=[]):
        state = np.random.get_state()
        torch.manual_seed(own)
        np.random.seed(own)
        try:
            yield
        finally:
            np.random.set_state(state)


def deviation(inputs: Tensor, share: float) -> float:
    """The standard deviation of noise that is a `share` of an example's own range (Smilkov et al. 2017)."""
    values = inputs.detach()
    return share * float(values.max() - values.min())
