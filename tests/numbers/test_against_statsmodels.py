"""Compares differences, corrections and comparisons like with like with statsmodels, which has the same estimators.

Other comparisons with statsmodels, scipy and lifelines are in test_statistics.py, test_rates.py and test_changes.py.
The pickups are independent, because each is booked on a day of its own.
"""

from datetime import timedelta

import numpy as np
import pytest

from tests.numbers.test_rates import CARRIERS, day
from tests.support.by_hand import cancelled, close, many, on_separate_days, pickup, rows

pytestmark = pytest.mark.duckdb2


def independent(**counts):
    """Returns n pickups for each carrier, k of which are cancelled."""
    groups = [
        one
        for carrier, (k, n) in counts.items()
        for one in [*many(cancelled, k, carrier=carrier), *many(pickup, n - k, carrier=carrier)]
    ]
    return on_separate_days(groups)


@pytest.mark.parametrize(("first", "second"), [((56, 70), (48, 80)), ((9, 10), (3, 10)), ((5, 56), (0, 29))])
def test_interval_of_a_difference_is_newcombes(warehouse, first, second):
    from statsmodels.stats.proportion import confint_proportions_2indep

    con = warehouse(*independent(dpd=first, ups=second))

    found = rows(con, "difference_low, difference_high", "rates", CARRIERS)

    expected = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff")
    assert found[1] == close(expected)
    assert found[0] == close((-expected[1], -expected[0]))


def test_carriers_stand_out_if_holms_correction_rejects_their_p_values(warehouse):
    from scipy import stats
    from statsmodels.stats.multitest import multipletests

    con = warehouse(*independent(a=(12, 90), b=(14, 90), c=(29, 90), d=(30, 90), e=(2, 90), f=(16, 90)))
    found = rows(con, "carrier, difference, difference_low, difference_high, stands_out", "rates", CARRIERS)

    towards = [difference - (low if difference > 0 else high) for _, difference, low, high, _ in found]
    errors = [stats.norm.ppf(0.975) * row[1] / distance for row, distance in zip(found, towards, strict=True)]
    rejected = multipletests(2 * stats.norm.sf(np.abs(errors)), alpha=0.05, method="holm")[0]
    assert [row[-1] != "no" for row in found] == rejected.tolist()
    assert 0 < rejected.sum() < 6


def test_days_that_go_together_make_a_carrier_stand_out_by_students_t(warehouse):
    """Each carrier has ten days, so its p value has nine degrees of freedom. By the normal score, 'a' stands out.

    A reach is how far the difference is from 0, compared with its distance to the bound towards 0.
    """
    from scipy import stats
    from statsmodels.stats.multitest import multipletests

    counts = {"a": [3, 9, 3, 9, 4, 10, 4, 10, 4, 10], **{f"equal {number}": [0, 6] * 5 for number in range(8)}}
    con = warehouse(
        *(
            one
            for shift, (carrier, ks) in enumerate(counts.items())
            for number, k in enumerate(ks)
            for one in day(20 * shift + number, k, 12, carrier=carrier)
        )
    )
    found = rows(con, "carrier, difference, difference_low, difference_high, stands_out", "rates", CARRIERS)

    towards = [difference - (low if difference > 0 else high) for _, difference, low, high, _ in found]
    reaches = [abs(row[1] / distance) for row, distance in zip(found, towards, strict=True)]
    by_t = 2 * stats.t.sf(stats.t.ppf(0.975, 9) * np.array(reaches), 9)
    by_z = 2 * stats.norm.sf(stats.norm.ppf(0.975) * np.array(reaches))
    assert [row[-1] != "no" for row in found] == multipletests(by_t, alpha=0.05, method="holm")[0].tolist()
    assert not multipletests(by_t, alpha=0.05, method="holm")[0][0]
    assert multipletests(by_z, alpha=0.05, method="holm")[0][0]


def test_design_effect_is_the_robust_variance_of_generalized_estimating_equations(warehouse):
    """GEE leaves out the factor clusters / (clusters - 1)."""
    import statsmodels.api as sm

    counts = [(k, 5) for k in (0, 5, 1, 0, 4, 0, 2, 5, 0, 1, 0, 3)]
    con = warehouse(
        *[
            one | {"created_at": one["created_at"] - timedelta(days=number)}
            for number, (k, n) in enumerate(counts)
            for one in [*many(cancelled, k), *many(pickup, n - k)]
        ]
    )
    outcomes = np.array([i < k for k, n in counts for i in range(n)], dtype=float)
    days = np.repeat(range(12), 5)
    fitted = sm.GEE(outcomes, np.ones((60, 1)), groups=days, family=sm.families.Gaussian()).fit(cov_type="robust")

    ((effect,),) = rows(con, "design_effect", "rates", CARRIERS)

    p = outcomes.mean()
    assert effect == close(12 / 11 * fitted.cov_params()[0, 0] / (p * (1 - p) / 59))


def test_score_of_two_carriers_is_the_statistic_of_cochran_mantel_and_haenszel(warehouse):
    from statsmodels.stats.contingency_tables import StratifiedTable

    countries = {"NL": ((9, 40), (3, 25)), "DE": ((5, 12), (6, 30)), "FR": ((1, 7), (4, 9))}
    pickups = [
        one | {"country": country} for country, (dpd, ups) in countries.items() for one in independent(dpd=dpd, ups=ups)
    ]
    con = warehouse(*on_separate_days(pickups))
    tables = [np.array([[k, n - k] for k, n in pair]) for pair in countries.values()]

    found = rows(con, "design_effect, score", "carrier_expected")

    expected = StratifiedTable(tables).test_null_odds(correction=False).statistic
    assert [score**2 * effect for effect, score in found] == [close(expected)] * 2
