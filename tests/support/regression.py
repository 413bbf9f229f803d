"""Computes the change of a carrier's rate at one mix independently of the views, with matrices instead of sums."""

from __future__ import annotations

import numpy as np
import pandas as pd


def expected_change(pickups: pd.DataFrame) -> pd.Series:
    """Returns the change of a carrier's rate, by a regression on the period with a constant for each stratum.

    The variance is clustered by day. Before they are summed, the residuals of a cluster are multiplied by the inverse
    root of I - H, where H projects on the constants of the strata.
    """
    both = pickups.groupby("stratum")["is_now"].transform("nunique") == 2
    used = pickups[both].reset_index(drop=True)
    x, y = used["is_now"].astype(float), used["cancelled"].astype(float)
    centred = x - x.groupby(used["stratum"]).transform("mean")
    weight = (centred**2).sum()
    slope = (centred * y).sum() / weight
    residual = y - slope * x
    residual -= residual.groupby(used["stratum"]).transform("mean")
    size = used.groupby("stratum")["cancelled"].transform("size")
    scores = []
    for _, cluster in used.groupby("day"):
        codes = cluster["stratum"].to_numpy()
        left = np.eye(len(cluster)) - (codes[:, None] == codes[None, :]) / size[cluster.index].to_numpy()
        values, vectors = np.linalg.eigh(left)
        inverse = np.array([value**-0.5 if value > 1e-9 else 0 for value in values])
        scores.append(centred[cluster.index] @ (vectors * inverse) @ vectors.T @ residual[cluster.index])
    clusters = len(scores)
    variance = clusters / (clusters - 1) * np.square(scores).sum() / weight**2
    w = used.groupby("stratum")["is_now"].agg(lambda now: now.sum() * (~now).sum() / len(now))
    independent, rates = 0.0, []
    for is_now in (False, True):
        part = used[used["is_now"] == is_now].groupby("stratum")["cancelled"].agg(["mean", "size"])
        rates.append((w * part["mean"]).sum() / w.sum())
        independent += rates[-1] * (1 - rates[-1]) / (w.sum() ** 2 / (w**2 / part["size"]).sum() - 1)
    return pd.Series(
        {
            "before_n": (~pickups["is_now"]).sum(),
            "now_n": pickups["is_now"].sum(),
            "before_rate_at_one_mix": rates[0],
            "now_rate_at_one_mix": rates[1],
            "difference": slope,
            "clusters": clusters,
            "design_effect": max(variance / independent, 1),
            "comparable_share": both.mean(),
        }
    )


def effects_like_with_like(pickups: pd.DataFrame, variance: pd.Series) -> pd.Series:
    """Returns the design effect of each carrier's observed minus expected cancellations, by residuals of pickups.

    Args:
        pickups: rated pickups with their carrier, stratum, day and `cancelled`.
        variance: each carrier's variance if pickups were independent.
    """
    strata = pickups.groupby("stratum")["cancelled"]
    size, of_day = strata.transform("size"), pickups.groupby(["stratum", "day"])["cancelled"].transform("size")
    residual = (pickups["cancelled"] - strata.transform("mean")) * (
        size / (size - of_day).where(of_day < size, size)
    ) ** 0.5
    effects = {}
    for carrier in variance.index:
        is_own = pickups["carrier"] == carrier
        share = is_own.groupby(pickups["stratum"]).transform("mean")
        used = (share > 0) & (share < 1)
        d = ((is_own - share) * residual)[used].groupby(pickups["day"]).sum()
        own = is_own[used].groupby(pickups["day"]).sum()
        left = d - d.sum() * own / own.sum()
        effects[carrier] = max((left**2).sum() / variance[carrier], 1)
    return pd.Series(effects)
