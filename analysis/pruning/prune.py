"""prune(network, plan): the pruned network, as a pure function."""

from __future__ import annotations

from analysis.errors import CriterionError
from analysis.importance.registry import find_criterion, score
from analysis.importance.scores import Scores
from analysis.network import Network
from analysis.pruning.channels import mask_channels, remove_channels
from analysis.pruning.plan import Plan, check_plan
from analysis.pruning.selection import Selection, select
from analysis.pruning.weights import zero_weights


def prune(network: Network, plan: Plan, scores: Scores | None = None) -> Network:
    """Carry out a plan.

    Channel cuts give a physically smaller network, weight cuts one with zeros. `network` is not
    modified, and the same plan and scores always give the same result.

    Parameters
    ----------
    scores : Scores, optional
        Scores of the dense network under the plan's criterion; computed here if the criterion needs
        no data.

    Raises
    ------
    PlanError
        If the plan is for another network.
    CriterionError
        If the criterion needs data and no scores are given, or cannot rank a target.
    """
    check_plan(plan, network)
    if plan.is_dense:
        return network
    return remove(network, select(network, plan, scores or _scores_without_data(network, plan)))


def remove(network: Network, selection: Selection) -> Network:
    """Remove exactly what `selection` names."""
    if selection.weights:
        return zero_weights(network, selection.weights)
    return remove_channels(network, [(network.group(n), c) for n, c in selection.channels.items()])


def masked_twin(network: Network, selection: Selection) -> Network:
    """The network in its full shape with the same selection silenced instead of removed."""
    if selection.weights:
        return zero_weights(network, selection.weights)
    return mask_channels(network, [(network.group(n), c) for n, c in selection.channels.items()])


def _scores_without_data(network: Network, plan: Plan) -> Scores:
    criterion = find_criterion(plan.criterion)
    if criterion.needs_data:
        raise CriterionError(
            f"{criterion.label} needs calibration examples: compute the scores with "
            "score(network, criterion, dataset) and pass them."
        )
    return score(network, plan.criterion)
