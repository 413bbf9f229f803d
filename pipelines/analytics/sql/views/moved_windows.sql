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

history as (
    select * from sendcloud.pickup_status_history
),

windows as (
    select
        account,
        id as pickup_id,
        min(observed_at) as first_observed_at,
        coalesce(min(observed_at) < min(pickup_from), false) as is_watched,
        coalesce(
            min(observed_at) < min(pickup_from)
            and (min(pickup_from) <> max(pickup_from) or min(pickup_until) <> max(pickup_until)),
            false
        ) as is_moved
    from history
    group by account, id
),

-- The first states of the few moved pickups.
first_states as (
    select
        history.account,
        history.id as pickup_id,
        min(epoch_us(history.pickup_from)) as first_opens_us
    from history
    inner join windows
        on windows.account = history.account
        and windows.pickup_id = history.id
        and windows.first_observed_at = history.observed_at
    where windows.is_moved
    group by history.account, history.id
),

shifts as (
    select
        pickups.account,
        pickups.carrier,
        windows.is_watched,
        windows.is_moved,
        cast(epoch_us(pickups.pickup_from_utc) - first_states.first_opens_us as double) / 3600000000 as shift_hours
    from pickups
    inner join windows on windows.account = pickups.account and windows.pickup_id = pickups.pickup_id
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
