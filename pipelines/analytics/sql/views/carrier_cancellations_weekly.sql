-- One row per carrier and local week of booking, for all accounts (is_every_account) and for each account; a week begins
-- on Monday in the local time of the pickup's country.
-- Rates cover the week's mature pickups (see carrier_cancellations). is_week_mature is false while more than 2 % of the
-- week's pickups are immature, and until a day after the end of the week. Until a week is mature, its rate excludes pickups
-- with late windows, whose cancellation rate differs. You can show an immature week, but don't compare it with other
-- weeks.
-- Columns that end in _low or _high bound the 95 % interval, which allows for pickups that are cancelled together. A week
-- of one account has at most seven clusters, so its intervals are wide by assumption (see rate_intervals).
-- cancelled_within_48_hours_rate is the early signal: of the watched_48_hours pickups that were booked at least 48 hours
-- before as_of, the share that was cancelled within 48 hours of booking. It is known three days after the end of the week.

with pickups as (
    select * from analytics.pickups
),

rates as (
    select * from analytics.rate_intervals
    where breakdown = 'carrier and week' and outcome in ('cancelled', 'cancelled within 48 hours')
),

counted as (
    select
        account,
        carrier,
        booked_week_local_start,
        count(*) as pickups,
        count(*) filter (where is_mature) as mature_pickups,
        count(*) filter (where not is_mature) as immature_pickups,
        count(*) filter (where is_mature and is_cancelled) as mature_cancelled,
        count(*) filter (where is_mature and is_kept) as mature_kept,
        count(*) filter (where is_mature and is_failed) as mature_failed,
        count(*) filter (where is_mature and (is_cancelled or is_kept)) as rated,
        count(*) filter (where created_at_utc <= as_of_utc - interval 48 hours) as watched_48_hours,
        count(*) filter (
            where created_at_utc <= as_of_utc - interval 48 hours and is_cancelled and hours_to_cancel <= 48
        ) as cancelled_within_48_hours,
        min(as_of_utc) as as_of_utc
    from pickups
    group by account, carrier, booked_week_local_start
),

counts as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        booked_week_local_start,
        cast(sum(pickups) as bigint) as pickups,
        cast(sum(mature_pickups) as bigint) as mature_pickups,
        cast(sum(immature_pickups) as bigint) as immature_pickups,
        cast(sum(mature_cancelled) as bigint) as mature_cancelled,
        cast(sum(mature_kept) as bigint) as mature_kept,
        cast(sum(mature_failed) as bigint) as mature_failed,
        cast(sum(rated) as bigint) as rated,
        cast(sum(watched_48_hours) as bigint) as watched_48_hours,
        cast(sum(cancelled_within_48_hours) as bigint) as cancelled_within_48_hours,
        min(as_of_utc) as as_of_utc
    from counted
    group by grouping sets ((carrier, booked_week_local_start), (account, carrier, booked_week_local_start))
),

estimates as (
    select
        account,
        is_every_account,
        carrier,
        week_local_start as booked_week_local_start,
        max(case when outcome = 'cancelled' then rate end) as cancellation_rate,
        max(case when outcome = 'cancelled' then rate_low end) as cancellation_rate_low,
        max(case when outcome = 'cancelled' then rate_high end) as cancellation_rate_high,
        max(case when outcome = 'cancelled' then clusters end) as clusters,
        max(case when outcome = 'cancelled' then clustered_by end) as clustered_by,
        max(case when outcome = 'cancelled' then design_effect end) as design_effect,
        max(case when outcome = 'cancelled within 48 hours' then rate end) as cancelled_within_48_hours_rate,
        max(case when outcome = 'cancelled within 48 hours' then rate_low end) as cancelled_within_48_hours_low,
        max(case when outcome = 'cancelled within 48 hours' then rate_high end) as cancelled_within_48_hours_high
    from rates
    group by account, is_every_account, carrier, week_local_start
),

final as (
    select
        counts.account,
        counts.is_every_account,
        counts.carrier,
        counts.booked_week_local_start,
        counts.pickups,
        counts.mature_pickups,
        counts.immature_pickups,
        counts.mature_cancelled,
        counts.mature_kept,
        counts.mature_failed,
        counts.rated,
        estimates.cancellation_rate,
        estimates.cancellation_rate_low,
        estimates.cancellation_rate_high,
        estimates.clusters,
        estimates.clustered_by,
        estimates.design_effect,
        coalesce(
            counts.immature_pickups <= 0.02 * counts.pickups
            and counts.booked_week_local_start + interval 8 days <= counts.as_of_utc,
            false
        ) as is_week_mature,
        counts.watched_48_hours,
        counts.cancelled_within_48_hours,
        estimates.cancelled_within_48_hours_rate,
        estimates.cancelled_within_48_hours_low,
        estimates.cancelled_within_48_hours_high,
        coalesce(counts.booked_week_local_start + interval 10 days <= counts.as_of_utc, false) as is_early_signal_complete
    from counts
    left join estimates using (account, is_every_account, carrier, booked_week_local_start)
)

select * from final
