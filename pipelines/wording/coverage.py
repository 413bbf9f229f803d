"""Says what the numbers cover: whose pickups, how recent, and how many of them can be rated."""

from __future__ import annotations

from pipelines.output import as_of_words
from pipelines.wording.current import next_day
from pipelines.wording.numbers import count, percent
from pipelines.wording.rows import Rows, Texts, sums

DEMO = "DEMO DATA"
DEMO_EXPLANATION = "no run has published anything yet, so these are the invented pickups of the command pickups demo."
NO_RATE = "No rate is known yet, because no pickup has finished."


def known_so_far(carriers: Rows) -> str:
    """Returns what is known before there is a rate.

    Args:
        carriers: rows of `carrier_cancellations`, one per carrier.
    """
    columns = ("pickups", "immature_cancelled", "mature_failed", "mature_pending")
    booked, cancelled, failed, stuck = sums(carriers, *columns)
    parts = [(cancelled, "cancelled already"), (failed, "failed"), (stuck, "stuck")]
    return ", ".join(
        [f"{count(booked, 'pickup')} booked", *(f"{number:,.0f} {what}" for number, what in parts if number)]
    )


def first_week(cancellations: Rows, upcoming: Rows) -> str:
    """Returns what is known already if there is no rate yet, or an empty text if there is one.

    Args:
        cancellations: all rows of `carrier_cancellations`.
        upcoming: all rows of `upcoming_pickups`.
    """
    carriers, ahead = _whole_carriers(cancellations), [row for row in upcoming if row["is_every_account"]]
    if not carriers or any(row["rated"] for row in carriers):
        return ""
    return " ".join([NO_RATE, f"{known_so_far(carriers)}.", *([next_day(ahead)] if ahead else [])])


def overview(cancellations: Rows) -> Texts:
    """Returns what has been booked, how much of it can be rated, and what is known of the rest.

    Args:
        cancellations: all rows of `carrier_cancellations`.
    """
    carriers = _whole_carriers(cancellations)
    as_of = {row["account"]: row["as_of_utc"] for row in cancellations if not row["is_every_account"]}
    known = {account: at for account, at in as_of.items() if at is not None}
    if not sums(carriers, "pickups")[0] or not known:
        return ["There is nothing to rate yet: no run has succeeded, or no pickup has been loaded."]
    pickups, mature, immature, early, rated = sums(
        carriers, "pickups", "mature_pickups", "immature_pickups", "immature_cancelled", "rated"
    )
    of = f"{count(pickups, 'pickup')} of {count(len(carriers), 'carrier')}"
    when = f"{', '.join([of, *as_of_words(known)])}."
    if not rated:
        return [NO_RATE, when, f"{known_so_far(carriers)}."]
    gone = count(early, "pickup that is not mature is", "pickups that are not mature are")
    return [when, f"{count(mature, 'is', 'are')} mature.", f"{gone} cancelled already." if immature else ""]


def _whole_carriers(cancellations: Rows) -> Rows:
    return [row for row in cancellations if row["is_every_account"] and row["country"] == "all"]


def haste(carriers: Rows) -> Texts:
    """Returns what the rate would be if pickups counted as soon as they are known to be cancelled."""
    cancelled, rated, gone, immature = sums(
        carriers, "mature_cancelled", "rated", "immature_cancelled", "immature_pickups"
    )
    if not rated or not gone:
        return []
    early = (cancelled + gone) / (rated + gone)
    return [
        f"Counted too early, the rate of all carriers would be {early:.2%} instead of {cancelled / rated:.2%}.",
        f"It would already count {count(gone, 'cancelled pickup')} whose window has not ended "
        f"({percent(gone / immature)} of those pickups), but not the kept ones.",
    ]
