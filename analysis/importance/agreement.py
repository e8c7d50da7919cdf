"""How far criteria agree: rank correlation of their channel scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from analysis.importance.scores import Scores, channel_scores
from analysis.network import Network


def rank_correlation(scores: Sequence[Scores], network: Network, layer: str) -> np.ndarray:
    """Spearman's rank correlation of the layer's channels between every two criteria, shape (k, k).

    NaN where a criterion gives no score, or the same score to every channel.
    """
    count = len(scores)
    result = np.full((count, count), np.nan)
    ranked = [
        channel_scores(s, network, layer).double().numpy() if layer in s.values else None for s in scores
    ]
    for i, a in enumerate(ranked):
        for j, b in enumerate(ranked):
            if a is not None and b is not None and np.ptp(a) > 0 and np.ptp(b) > 0:
                result[i, j] = spearmanr(a, b).statistic
    return result
