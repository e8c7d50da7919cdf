"""Rank correlation of criteria, against ranks worked out by hand and scipy."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import rankdata, spearmanr
from torch import nn

from analysis.importance import CRITERIA, Scores, score
from analysis.importance.agreement import rank_correlation
from analysis.tracing import trace
from tests.networks import ConvNet, dataset, randomise


@pytest.fixture
def net():
    return trace(nn.Sequential(nn.Linear(2, 5)), torch.zeros(1, 2), "tiny")


def channels(*values):
    return Scores("by hand", "tiny", {"0": torch.tensor(values)})


def pearson(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def test_hand_ranks(net):
    a = channels(1.0, 2.0, 3.0, 4.0, 5.0)
    b = channels(10.0, 30.0, 20.0, 50.0, 40.0)  # ranks 1 3 2 5 4: Σd² = 4, so 1 - 6*4/(5*24) = 0.8
    reverse = channels(-1.0, -8.0, -27.0, -64.0, -125.0)
    result = rank_correlation([a, b, reverse], net, "0")
    np.testing.assert_allclose(result, [[1, 0.8, -1], [0.8, 1, -0.8], [-1, -0.8, 1]], atol=1e-12)


def test_ties_share_their_rank(net):
    rows = [(1.0, 1.0, 2.0, 3.0, 3.0), (5.0, 1.0, 1.0, 1.0, 2.0), (0.1, 0.2, 0.3, 0.4, 0.5)]
    result = rank_correlation([channels(*row) for row in rows], net, "0")
    for (i, a), (j, b) in itertools.product(enumerate(rows), repeat=2):
        assert result[i, j] == pytest.approx(pearson(rankdata(a), rankdata(b)), abs=1e-12)
        assert result[i, j] == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_weights_are_summed_first(net):
    per_weight = Scores(
        "w", "tiny", {"0": torch.tensor([[9.0, -9.0], [1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 4.0]])}
    )
    assert rank_correlation([per_weight, channels(0.0, 1.0, 2.0, 3.0, 4.0)], net, "0")[0, 1] == pytest.approx(
        1
    )


def test_constant_and_missing_scores_have_no_correlation(net):
    a = channels(1.0, 2.0, 3.0, 4.0, 5.0)
    constant = channels(7.0, 7.0, 7.0, 7.0, 7.0)
    missing = Scores("none", "tiny", {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scipy must not be asked what it cannot answer
        result = rank_correlation([a, constant, missing], net, "0")
    assert result.shape == (3, 3)
    assert result[0, 0] == pytest.approx(1)
    result[0, 0] = np.nan
    assert np.isnan(result).all()


def test_no_criteria(net):
    assert rank_correlation([], net, "0").shape == (0, 0)


def test_all_criteria_can_be_compared():
    network = trace(randomise(ConvNet()), torch.zeros(1, 2, 5, 5), "tiny")
    scores = [score(network, name, dataset((2, 5, 5), 4, 10)) for name in CRITERIA]
    result = rank_correlation(scores, network, "conv2")
    np.testing.assert_allclose(np.diag(result), 1)
    np.testing.assert_allclose(result, result.T, atol=1e-12)
    assert float(np.abs(result).max()) <= 1 + 1e-12
