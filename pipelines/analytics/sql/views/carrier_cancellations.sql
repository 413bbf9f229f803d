-- One row per carrier (country is 'all') and one per carrier and country ('unknown' if the API sent no country), for all
-- accounts (is_every_account) and for each account.
-- Rates cover only mature pickups, whose window ended before as_of. The columns for immature pickups count the rest.
-- cancellation_rate = mature_cancelled / rated, where rated = mature_cancelled + mature_kept. Failed pickups were never
-- accepted and pending pickups were never answered, so neither could have been cancelled.
-- failure_rate = mature_failed / failure_n, where failure_n counts all mature pickups except pending ones.
-- mature_pending counts stuck pickups, which are still announcing after their window has ended.
-- Columns that end in _low or _high bound the 95 % interval, which allows for pickups that are cancelled together (see
-- rate_intervals for clusters, clustered_by and design_effect). A rate is null if there are no pickups to rate.
-- Each pickup is counted in several rows, so never sum over all rows.
-- difference compares the carrier with all other carriers, or the country with the carrier's other countries.
-- stands_out is 'higher' or 'lower' only if that difference is more than chance. It is null if nothing can be compared.
-- cancellation_rank and failure_rank rank the rows by the shrunken rate, where 1 is the highest (see rates).
-- cancellation_rate_by_status counts status conflicts as kept. These are pickups with a cancellation time whose status
-- isn't Cancelled. cancellation_rate counts them as cancelled.
-- A cancellation is late if it came less than 24 hours before the window opened, or after the window opened. A pickup that
-- was booked less than 24 hours ahead could not be cancelled any earlier. The share of late cancellations is therefore
-- mature_late_cancellations_booked_ahead / mature_cancelled_booked_ahead, over pickups booked at least 24 hours ahead.

with pickups as (
    select * from analytics.pickups
),

rates as (
    select * from analytics.rates
    where breakdown in ('carrier', 'carrier and country') and outcome in ('cancelled', 'failed')
),

counted as (
    select
        account,
        carrier,
        coalesce(country, 'unknown') as country,
        count(*) as pickups,
        count(*) filter (where is_mature) as mature_pickups,
        count(*) filter (where not is_mature) as immature_pickups,
        count(*) filter (where not is_mature and is_cancelled) as immature_cancelled,
        count(*) filter (where is_mature and is_cancelled) as mature_cancelled,
        count(*) filter (where is_mature and is_kept) as mature_kept,
        count(*) filter (where is_mature and is_failed) as mature_failed,
        count(*) filter (where is_mature and is_pending) as mature_pending,
        count(*) filter (where is_mature and is_late_cancellation) as mature_late_cancellations,
        count(*) filter (where is_mature and is_cancelled_after_start) as mature_cancelled_after_start,
        count(*) filter (where is_mature and is_cancelled and lead_time_hours >= 24) as mature_cancelled_booked_ahead,
        count(*) filter (
            where is_mature and is_late_cancellation and lead_time_hours >= 24
        ) as mature_late_cancellations_booked_ahead,
        count(*) filter (where has_status_conflict) as status_conflicts,
        count(*) filter (where is_mature and has_status_conflict) as mature_status_conflicts,
        count(*) filter (where is_mature and (is_cancelled or is_kept)) as rated,
        count(*) filter (where is_mature and not is_pending) as failure_n,
        min(as_of_utc) as as_of_utc
    from pickups
    group by account, carrier, coalesce(country, 'unknown')
),

counts as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        coalesce(country, 'all') as country,
        cast(sum(pickups) as bigint) as pickups,
        cast(sum(mature_pickups) as bigint) as mature_pickups,
        cast(sum(immature_pickups) as bigint) as immature_pickups,
        cast(sum(immature_cancelled) as bigint) as immature_cancelled,
        cast(sum(mature_cancelled) as bigint) as mature_cancelled,
        cast(sum(mature_kept) as bigint) as mature_kept,
        cast(sum(mature_failed) as bigint) as mature_failed,
        cast(sum(mature_pending) as bigint) as mature_pending,
        cast(sum(mature_late_cancellations) as bigint) as mature_late_cancellations,
        cast(sum(mature_cancelled_after_start) as bigint) as mature_cancelled_after_start,
        cast(sum(mature_cancelled_booked_ahead) as bigint) as mature_cancelled_booked_ahead,
        cast(sum(mature_late_cancellations_booked_ahead) as bigint) as mature_late_cancellations_booked_ahead,
        cast(sum(status_conflicts) as bigint) as status_conflicts,
        cast(sum(mature_status_conflicts) as bigint) as mature_status_conflicts,
        cast(sum(rated) as bigint) as rated,
        cast(sum(failure_n) as bigint) as failure_n,
        min(as_of_utc) as as_of_utc
    from counted
    group by grouping sets ((carrier), (carrier, country), (account, carrier), (account, carrier, country))
),

-- One row per carrier, country and account, with the columns of the two outcomes side by side.
estimates as (
    select
        account,
        is_every_account,
        carrier,
        country,
        max(case when outcome = 'cancelled' then rate end) as cancellation_rate,
        max(case when outcome = 'cancelled' then rate_low end) as cancellation_rate_low,
        max(case when outcome = 'cancelled' then rate_high end) as cancellation_rate_high,
        max(case when outcome = 'cancelled' then clusters end) as clusters,
        max(case when outcome = 'cancelled' then clustered_by end) as clustered_by,
        max(case when outcome = 'cancelled' then design_effect end) as design_effect,
        max(case when outcome = 'cancelled' then rate_shrunken end) as cancellation_rate_shrunken,
        max(case when outcome = 'cancelled' then rank end) as cancellation_rank,
        max(case when outcome = 'cancelled' then others_rate end) as others_rate,
        max(case when outcome = 'cancelled' then difference end) as difference,
        max(case when outcome = 'cancelled' then difference_low end) as difference_low,
        max(case when outcome = 'cancelled' then difference_high end) as difference_high,
        max(case when outcome = 'cancelled' then stands_out end) as stands_out,
        max(case when outcome = 'failed' then rate end) as failure_rate,
        max(case when outcome = 'failed' then rate_low end) as failure_rate_low,
        max(case when outcome = 'failed' then rate_high end) as failure_rate_high,
        max(case when outcome = 'failed' then rank end) as failure_rank,
        max(case when outcome = 'failed' then stands_out end) as failure_stands_out
    from rates
    group by account, is_every_account, carrier, country
),

final as (
    select
        counts.account,
        counts.is_every_account,
        counts.carrier,
        counts.country,
        counts.pickups,
        counts.mature_pickups,
        counts.immature_pickups,
        counts.immature_cancelled,
        counts.mature_cancelled,
        counts.mature_kept,
        counts.mature_failed,
        counts.mature_pending,
        counts.mature_late_cancellations,
        counts.mature_cancelled_after_start,
        counts.mature_cancelled_booked_ahead,
        counts.mature_late_cancellations_booked_ahead,
        counts.status_conflicts,

        counts.rated,
        estimates.cancellation_rate,
        estimates.cancellation_rate_low,
        estimates.cancellation_rate_high,
        estimates.clusters,
        estimates.clustered_by,
        estimates.design_effect,
        estimates.cancellation_rate_shrunken,
        estimates.cancellation_rank,
        estimates.others_rate,
        estimates.difference,
        estimates.difference_low,
        estimates.difference_high,
        estimates.stands_out,
        cast(counts.mature_cancelled - counts.mature_status_conflicts as double) / nullif(counts.rated, 0)
            as cancellation_rate_by_status,

        counts.failure_n,
        estimates.failure_rate,
        estimates.failure_rate_low,
        estimates.failure_rate_high,
        estimates.failure_rank,
        estimates.failure_stands_out,

        counts.as_of_utc
    from counts
    left join estimates using (account, is_every_account, carrier, country)
)

select * from final
