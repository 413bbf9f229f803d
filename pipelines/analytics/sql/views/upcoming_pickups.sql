-- One row per carrier, local day and local hour at which windows open after as_of, in all accounts and in each.
-- The view counts pickups that are neither cancelled nor failed. Pickups in a country whose time zone is not configured
-- have rows of their own, in UTC (has_local_time is false). A pickup without a window has no row.
-- expected_cancellations is the number of these pickups that will still be cancelled, before or after the window opens.
-- The view adds up a probability for each pickup. If the window opens in h hours, the probability comes from the mature
-- pickups that were booked and not yet cancelled h hours before their window. It is the share that was cancelled later.
-- h is rounded to whole hours up to 12, to 4 hours up to 48, to 12 hours up to 96, and to days up to 30 days.
-- The probability of an account's carrier is shrunken towards that of the carrier over all accounts, which is shrunken
-- towards that of all carriers. Each step adds 20 pickups with the wider probability.
-- without_estimate counts pickups whose window opens in more than 30 days, and pickups for which fewer than 30 mature
-- pickups of all carriers were booked h hours ahead. expected_cancellations leaves them out. It is null if no pickup of
-- the row has an estimate.
-- Failed pickups, and cancellations without a time, do not count for the probabilities.

-- The view is read twice instead of once, because DuckDB would store a CTE that is read twice with all its columns.
with pickups as (
    select * from analytics.pickups
    where not is_mature and pickup_from_utc > as_of_utc and not is_cancelled and not is_failed
),

mature_pickups as (
    select * from analytics.pickups
    where is_mature and not is_failed and lead_time_hours >= 0
        and (not is_cancelled or cancellation_notice_hours is not null)
),

ahead as (
    select
        account,
        carrier,
        cast(window_opens_local as date) as window_opens_day_local,
        window_opens_hour_local,
        has_local_time,
        is_pending,
        as_of_utc,
        cast(epoch_us(pickup_from_utc) - epoch_us(as_of_utc) as double) / 3600000000 as hours_ahead
    from pickups
),

upcoming as (
    select
        account,
        carrier,
        window_opens_day_local,
        window_opens_hour_local,
        has_local_time,
        cast(case
            when hours_ahead < 11.5 then floor(hours_ahead + 0.5)
            when hours_ahead < 46 then 4 * floor(hours_ahead / 4 + 0.5)
            when hours_ahead < 90 then 12 * floor(hours_ahead / 12 + 0.5)
            when hours_ahead < 732 then 24 * floor(hours_ahead / 24 + 0.5)
        end as bigint) as hours_before,
        count(*) as pickups,
        count(*) filter (where is_pending) as pending,
        min(as_of_utc) as as_of_utc
    from ahead
    group by account, carrier, window_opens_day_local, window_opens_hour_local, has_local_time, hours_before
),

hours as (
    select distinct hours_before
    from upcoming
    where hours_before is not null
),

-- A mature pickup was booked and not cancelled from first_hours to last_hours before its window opened.
lives as (
    select
        account,
        carrier,
        is_cancelled,
        floor(lead_time_hours) as first_hours,
        case when is_cancelled then greatest(ceil(cancellation_notice_hours), 0) else 0 end as last_hours,
        count(*) as pickups
    from mature_pickups
    group by account, carrier, is_cancelled, first_hours, last_hours
),

outcomes as (
    select
        lives.account,
        lives.carrier,
        hours.hours_before,
        grouping(lives.account) = 0 as is_of_account,
        grouping(lives.carrier) = 0 as is_of_carrier,
        cast(sum(lives.pickups) as double) as n,
        cast(sum(case when lives.is_cancelled then lives.pickups else 0 end) as double) as k
    from lives
    inner join hours on hours.hours_before between lives.last_hours and lives.first_hours
    group by
        grouping sets (
            (lives.account, lives.carrier, hours.hours_before),
            (lives.carrier, hours.hours_before),
            (hours.hours_before)
        )
),

estimated as (
    select
        upcoming.*,
        everyone.k / everyone.n as p,
        coalesce(of_carrier.n, 0) as carrier_n,
        coalesce(of_carrier.k, 0) as carrier_k,
        coalesce(of_account.n, 0) as account_n,
        coalesce(of_account.k, 0) as account_k
    from upcoming
    left join outcomes as everyone
        on not everyone.is_of_carrier
        and everyone.hours_before = upcoming.hours_before
        and everyone.n >= 30
    left join outcomes as of_carrier
        on of_carrier.is_of_carrier
        and not of_carrier.is_of_account
        and of_carrier.carrier = upcoming.carrier
        and of_carrier.hours_before = upcoming.hours_before
    left join outcomes as of_account
        on of_account.is_of_account
        and of_account.account = upcoming.account
        and of_account.carrier = upcoming.carrier
        and of_account.hours_before = upcoming.hours_before
),

probable as (
    select
        *,
        pickups * (account_k + 20 * (carrier_k + 20 * p) / (carrier_n + 20)) / (account_n + 20) as expected
    from estimated
),

-- Fractions are summed as decimals, so that the sums don't depend on the order of the rows (see rates).
final as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        window_opens_day_local,
        window_opens_hour_local,
        has_local_time,
        cast(sum(pickups) as bigint) as pickups,
        cast(sum(pending) as bigint) as pending,
        cast(sum(cast(expected as decimal(38, 15))) as double) as expected_cancellations,
        cast(sum(case when p is null then pickups else 0 end) as bigint) as without_estimate,
        min(as_of_utc) as as_of_utc
    from probable
    group by
        grouping sets (
            (carrier, window_opens_day_local, window_opens_hour_local, has_local_time),
            (account, carrier, window_opens_day_local, window_opens_hour_local, has_local_time)
        )
)

select * from final
