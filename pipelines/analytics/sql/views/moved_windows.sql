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

-- Most pickups have a single state and can't have been moved, so only the others are grouped. is_first is null if it
-- isn't known.
changed as (
    select distinct
        account,
        id
    from sendcloud.pickup_status_history
    where is_first is not true
),

-- Each CTE reads the table again, because DuckDB stores a CTE that is read twice.
several_states as (
    select
        history.account,
        history.id as pickup_id,
        min(history.observed_at) as first_observed_at,
        coalesce(min(history.observed_at) < min(history.pickup_from), false) as is_watched,
        coalesce(min(history.pickup_from) <> max(history.pickup_from), false)
        or coalesce(min(history.pickup_until) <> max(history.pickup_until), false) as has_several_windows
    from sendcloud.pickup_status_history as history
    inner join changed on changed.account = history.account and changed.id = history.id
    group by history.account, history.id
),

states as (
    select
        history.account,
        history.id as pickup_id,
        coalesce(history.observed_at < history.pickup_from, false) as is_watched
    from sendcloud.pickup_status_history as history
    left join changed on changed.account = history.account and changed.id = history.id
    where changed.id is null
    union all
    select
        account,
        pickup_id,
        is_watched
    from several_states
),

-- The moved pickups with the window of their first state.
first_states as (
    select
        history.account,
        history.id as pickup_id,
        min(epoch_us(history.pickup_from)) as first_opens_us
    from sendcloud.pickup_status_history as history
    inner join several_states
        on several_states.account = history.account
        and several_states.pickup_id = history.id
        and several_states.first_observed_at = history.observed_at
    where several_states.is_watched and several_states.has_several_windows
    group by history.account, history.id
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
