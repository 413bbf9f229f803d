-- One row per carrier and age in hours since the booking, from 0 to 720 (30 days): the share cancelled by that age.
-- Both mature and immature pickups count. A pickup's observation time is the number of whole hours between its booking
-- and as_of.
-- A pickup that has not been cancelled by as_of stays at risk until as_of (censored). A failed pickup can't be
-- cancelled later (a competing event). The API doesn't say when a pickup failed, so the view assumes that the pickup
-- failed at its booking.
-- share_cancelled is the Aalen-Johansen estimate, as a share of all booked pickups. For each hour up to the age, the
-- view adds survival before the hour * cancelled / at risk. In each hour, survival falls by the share
-- (cancelled + failed) / at risk.
-- A cancellation counts at its age in hours, rounded up, or at 0 if it is dated before the booking.
-- The view leaves out cancelled pickups without a cancellation time, because their age is unknown.

with pickups as (
    select * from analytics.pickups
),

watched as (
    select
        carrier,
        is_failed,
        case when hours_to_cancel > 0 then ceil(hours_to_cancel) when hours_to_cancel <= 0 then 0 end as cancelled_age_hours,
        greatest(floor(cast(epoch_us(as_of_utc) - epoch_us(created_at_utc) as double) / 3600000000), 0) as watched_hours
    from pickups
    where as_of_utc is not null and (not is_cancelled or hours_to_cancel is not null)
),

-- A cancellation in the unfinished last hour doesn't count yet, because the other pickups haven't completed that hour.
outcomes as (
    select
        carrier,
        is_failed,
        not is_failed and coalesce(cancelled_age_hours <= watched_hours, false) as is_cancelled,
        cast(
            case
                when is_failed then 0
                when cancelled_age_hours <= watched_hours then cancelled_age_hours
                else watched_hours
            end as bigint
        ) as age_hours
    from watched
),

by_age as (
    select
        carrier,
        age_hours,
        count(*) as leaving,
        count(*) filter (where is_cancelled) as cancelled,
        count(*) filter (where is_failed) as failed
    from outcomes
    group by carrier, age_hours
),

carriers as (
    select
        carrier,
        sum(leaving) as watched_pickups
    from by_age
    group by carrier
),

ages as (
    select
        carriers.carrier,
        hours.age_hours,
        carriers.watched_pickups,
        coalesce(by_age.leaving, 0) as leaving,
        coalesce(by_age.cancelled, 0) as cancelled,
        coalesce(by_age.failed, 0) as failed
    from carriers
    cross join generate_series(0, 720) as hours(age_hours)
    left join by_age on by_age.carrier = carriers.carrier and by_age.age_hours = hours.age_hours
),

at_risk as (
    select
        *,
        watched_pickups - coalesce(
            sum(leaving) over (
                partition by carrier
                order by age_hours
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as at_risk
    from ages
),

hazards as (
    select
        *,
        cast(cancelled as double) / at_risk as cancelled_share,
        cast(cancelled + failed as double) / at_risk as left_share
    from at_risk
    where at_risk > 0
),

-- Logarithms turn the product of (1 - left_share) over the earlier hours into a sum. If left_share is 1, the logarithm
-- is undefined, but then no pickup is at risk in any later hour.
survivals as (
    select
        *,
        exp(
            coalesce(
                sum(case when left_share < 1 then ln(1 - left_share) end) over (
                    partition by carrier
                    order by age_hours
                    rows between unbounded preceding and 1 preceding
                ),
                0
            )
        ) as survival_before
    from hazards
),

final as (
    select
        carrier,
        age_hours,
        cast(at_risk as bigint) as at_risk,
        cancelled,
        sum(survival_before * cancelled_share) over (partition by carrier order by age_hours) as share_cancelled
    from survivals
)

select * from final
