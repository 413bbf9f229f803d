-- One row per carrier, local weekday (ISO, 1 = Monday) and local start hour at which at least one window opens, for all
-- accounts (is_every_account) and for each account.
-- Every booked window counts, regardless of what happened to the pickup later. If a pickup has two time slots, each
-- slot counts at the hour at which it opens.
-- The view leaves out pickups without a window. The view also leaves out pickups in a country whose time zone is not
-- configured, because their local hour is unknown. carrier_windows counts both kinds of pickup.

with slots as (
    select * from analytics.pickup_slots
),

final as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        slot_opens_isodow_local as window_opens_isodow_local,
        slot_opens_hour_local as window_opens_hour_local,
        count(*) as pickups
    from slots
    where has_local_time
    group by
        grouping sets (
            (carrier, slot_opens_isodow_local, slot_opens_hour_local),
            (account, carrier, slot_opens_isodow_local, slot_opens_hour_local)
        )
)

select * from final
