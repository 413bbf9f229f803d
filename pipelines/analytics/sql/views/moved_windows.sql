-- One row per carrier, for all accounts and for each account: the windows that were moved after the booking.
-- watched counts pickups that were first observed before their window opened. A watched pickup was moved if the status
-- history later contains another window for it, which begins or ends at another time. A begin or an end that was
-- missing at first was not moved.
-- The API shows only the current window. The view therefore misses a move before the first observation, and a move that
-- was undone between two runs. Only the next sweep finds a move after the pickup settled.
-- moved_later and moved_earlier compare the current opening with that of the first state. The other moved windows open
-- at the time at which they opened at first. median_shift_hours covers the moved windows, regardless of the direction.

with pickups as (
    select * from analytics.pickups
),

-- Most pickups have a single state and can't have been moved, so only the others are compared, below. This takes 4.1 s of
-- CPU time instead of 4.6 s per ten million pickups that have one state each (duckdb 1.5.5, 2026-11).
states as (
    select
        account,
        id as pickup_id,
        min(observed_at) as first_observed_at,
        coalesce(min(observed_at) < min(pickup_from), false) as is_watched,
        count(*) as states
    from sendcloud.pickup_status_history
    group by account, id
),

several as (
    select account, pickup_id, first_observed_at
    from states
    where states > 1 and is_watched
),

-- The moved pickups with the window of their first state. The table is read again, because DuckDB stores a CTE that is
-- read twice.
first_states as (
    select
        history.account,
        history.id as pickup_id,
        min(
            case when history.observed_at = several.first_observed_at then epoch_us(history.pickup_from) end
        ) as first_opens_us
    from sendcloud.pickup_status_history as history
    inner join several on several.account = history.account and several.pickup_id = history.id
    group by history.account, history.id
    having min(history.pickup_from) <> max(history.pickup_from)
        or min(history.pickup_until) <> max(history.pickup_until)
),

shifts as (
    select
        pickups.account,
        pickups.carrier,
        states.is_watched,
        first_states.pickup_id is not null as is_moved,
        cast(epoch_us(pickups.pickup_from_utc) - first_states.first_opens_us as double) / 3600000000 as shift_hours
    from pickups
    inner join states on states.account = pickups.account and states.pickup_id = pickups.pickup_id
    left join first_states
        on first_states.account = pickups.account and first_states.pickup_id = pickups.pickup_id
),

counts as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        count(*) filter (where is_watched) as watched,
        count(*) filter (where is_moved) as moved,
        count(*) filter (where is_moved and shift_hours > 0) as moved_later,
        count(*) filter (where is_moved and shift_hours < 0) as moved_earlier,
        quantile_cont(case when is_moved then abs(shift_hours) end, 0.5) as median_shift_hours
    from shifts
    group by grouping sets ((carrier), (account, carrier))
),

final as (
    select
        account,
        is_every_account,
        carrier,
        watched,
        moved,
        cast(moved as double) / nullif(watched, 0) as moved_share,
        moved_later,
        moved_earlier,
        median_shift_hours
    from counts
)

select * from final
