"""Loads Sendcloud's published responses through the complete pipeline.

Each published list is an account of its own, because the ids of the lists collide.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines import run_accounts
from sources.sendcloud.sandbox import World
from tests.support.accounts import configure, serving
from tests.support.installation import Installation, utc

pytestmark = pytest.mark.duckdb2

PUBLISHED = json.loads((Path(__file__).parents[1] / "data" / "published_pickups.json").read_text())

# The columns are account, id, carrier, country, tracking number, from, until, status, booked, cancelled and contract.
# The values were copied by hand from the document. The rows are grouped by account and ordered by id.
EXPECTED = """
RetrieveCorreosExpressPickups|1|correos_express|ES|100113931|2022-11-26T11:00:00Z|2022-11-26T15:00:00Z|Cancelled|2022-11-25T12:53:21.938565Z|2022-11-25T12:55:23.543111Z|57
RetrieveCorreosExpressPickups|2|correos_express|ES|100113932|2022-11-26T11:00:00Z|2022-11-26T14:00:00Z|Cancelled|2022-11-25T13:15:18.160521Z|2022-11-25T13:17:14.476858Z|57
RetrieveCorreosPickups|1|correos|ES|SR2022120794694EG|2022-12-09T11:00:00Z|2022-12-09T14:00:00Z|Cancelled|2022-12-07T14:24:25.114186Z|2022-12-07T14:26:12.213786Z|1
RetrieveCorreosPickups|2|correos|ES|SR2022120795420EG|2022-12-09T11:00:00Z|2022-12-09T14:00:00Z|Cancelled|2022-12-07T14:27:45.114186Z|2022-12-07T14:30:21.711420Z|1
FailedPickups|1|dhl_express|NL||2021-04-06T12:00:00Z|2021-04-06T17:00:00Z|Failed|2022-03-30T10:58:09.832504Z|-|-
RetrieveDHLExpressPickups|1|dhl_express|NL|PRG220406003404|2022-04-06T12:00:00Z|2022-04-06T17:00:00Z|Cancelled|2022-03-30T10:57:02.344479Z|2022-03-30T10:57:11.656260Z|-
RetrieveDHLExpressPickups|2|dhl_express|NL|PRG220406002044|2022-04-06T12:00:00Z|2022-04-06T17:00:00Z|Cancelled|2022-03-30T09:20:37.957495Z|2022-03-30T09:20:45.433367Z|-
RetrieveDHLParcelIberiaPickups|1|dhl_parcel_iberia|ES|1785.0|2023-02-03T11:00:00Z|2023-02-03T14:00:00Z|Created|2023-01-29T13:15:18.160521Z|-|6
RetrieveDHLParcelIberiaPickups|2|dhl_parcel_iberia|ES|09985053927753|2023-02-14T11:00:00Z|2023-02-14T14:00:00Z|Created|2023-02-08T12:53:21.938565Z|-|6
RetrieveDHLPickups|1|dhl|NL|05931316-DBEA8B58|2022-12-15T11:00:00Z|2022-12-15T14:00:00Z|Created|2022-12-13T13:15:18.160521Z|-|8
RetrieveDHLPickups|2|dhl|NL|05931316-DF19B800|2022-12-14T11:00:00Z|2022-12-14T14:00:00Z|Created|2022-12-13T12:11:21.160521Z|-|8
RetrieveDPDPickups|1|dpd|DE|09985053927753|2022-10-26T11:00:00Z|2022-10-26T15:00:00Z|Created|2022-10-25T12:53:21.938565Z|-|14
RetrieveDPDPickups|2|dpd|DE|09985053927752|2022-11-26T11:00:00Z|2022-11-26T14:00:00Z|Created|2022-11-25T13:15:18.160521Z|2022-11-25T13:17:14.476858Z|14
RetrieveFedexPickups|1|fedex|ES||2022-11-11T10:53:43.533832Z|2022-11-11T12:53:43.533832Z|Announcing|2022-11-10T10:05:02.185445Z|-|-
RetrieveFedexPickups|2|fedex|ES|791043498202211103183|2022-11-11T10:53:43.533832Z|2022-11-11T12:53:43.533832Z|Created|2022-11-10T10:05:02.185445Z|-|-
RetrievePosteITDeliveryPickups|1|poste_it_delivery|IT|09985053927753|2023-01-02T11:00:00Z|2023-01-02T14:00:00Z|Created|2022-12-28T12:53:21.938565Z|-|6
RetrievePosteITDeliveryPickups|2|poste_it_delivery|IT|09985053927752|2023-01-03T11:00:00Z|2023-01-03T14:00:00Z|Created|2022-12-29T13:15:18.160521Z|2022-12-30T13:17:14.476858Z|6
RetrieveUPSPickups|1|ups|ES|29GECMOG1P4|2023-01-19T07:00:00Z|2023-01-19T15:00:00Z|Cancelled|2023-01-18T08:16:56.761459Z|2023-01-18T08:47:00.306231Z|33
RetrieveUPSPickups|2|ups|ES|29QECLQO4D8|2023-01-19T13:12:53.992000Z|2023-01-19T15:12:53.992000Z|Cancelled|2023-01-18T08:28:41.987180Z|2023-01-18T08:58:44.509553Z|33
"""


@pytest.fixture(scope="module")
def loaded_installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Loads the ten lists, each as an account of one installation."""
    folder = tmp_path_factory.mktemp("published") / "project"
    (folder / ".dlt").mkdir(parents=True)
    worlds = {name: World.of(page["pickups"], clock=utc("2023-03-01T00:00:00Z")) for name, page in PUBLISHED.items()}
    with pytest.MonkeyPatch.context() as patched, serving(worlds) as apis:
        patched.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        installation = Installation(folder, patched)
        configure(installation, apis)
        for receipt in run_accounts(folder):
            assert receipt.rows_new == len(PUBLISHED[receipt.account]["pickups"])
    return installation


def test_every_published_pickup_is_loaded_with_all_its_fields(loaded_installation: Installation) -> None:
    expected = []
    for line in EXPECTED.strip().split("\n"):
        values: list[str | None] = [None if value == "-" else value for value in line.split("|")]
        account, id_, carrier, country, tracking, opens, closes, status, booked, cancelled, contract = values
        expected.append(
            {
                "account": account,
                "id": int(id_ or 0),
                "carrier": carrier,
                "country": country,
                "tracking_number": tracking,
                "pickup_from": utc(opens or ""),
                "pickup_until": utc(closes or ""),
                "pickup_status": status,
                "created_at": utc(booked or ""),
                "cancelled_at": utc(cancelled) if cancelled else None,
                "contract": int(contract) if contract else None,
                "extra": None,
                "time_slots": None,
                "api_version": "v2",
            }
        )
    assert loaded_installation.pickups() == sorted(expected, key=lambda row: (row["account"], row["id"]))


@pytest.mark.slow
def test_the_ten_published_lists_give_nineteen_rows_and_an_empty_quarantine(loaded_installation: Installation) -> None:
    assert loaded_installation.rows("select count(*) as n from sendcloud.pickups") == [{"n": 19}]
    assert loaded_installation.rows("select count(*) as n from sendcloud.pickups_quarantine") == [{"n": 0}]
    assert len(PUBLISHED) == 10


def test_two_created_pickups_with_a_cancelled_at_are_flagged_and_count_as_cancelled(
    loaded_installation: Installation,
) -> None:
    query = "select account, pickup_id, is_cancelled from analytics.pickups where has_status_conflict order by account"
    assert loaded_installation.rows(query) == [
        {"account": "RetrieveDPDPickups", "pickup_id": 2, "is_cancelled": True},
        {"account": "RetrievePosteITDeliveryPickups", "pickup_id": 2, "is_cancelled": True},
    ]


@pytest.mark.slow
def test_cancellation_rates_of_the_published_pickups_match_a_manual_count(loaded_installation: Installation) -> None:
    """All windows had ended by March 2023.

    fedex has one pickup that was kept and one that is still announcing. dhl_express has two pickups that were both
    cancelled, and a third that failed.
    """
    query = """
        select carrier, mature_cancelled, rated, cancellation_rate from analytics.carrier_cancellations
        where is_every_account and country = 'all' order by carrier
    """
    counted = [
        (r["carrier"], r["mature_cancelled"], r["rated"], r["cancellation_rate"])
        for r in loaded_installation.rows(query)
    ]
    assert counted == [
        ("correos", 2, 2, 1.0),
        ("correos_express", 2, 2, 1.0),
        ("dhl", 0, 2, 0.0),
        ("dhl_express", 2, 2, 1.0),
        ("dhl_parcel_iberia", 0, 2, 0.0),
        ("dpd", 1, 2, 0.5),
        ("fedex", 0, 1, 0.0),
        ("poste_it_delivery", 1, 2, 0.5),
        ("ups", 2, 2, 1.0),
    ]
