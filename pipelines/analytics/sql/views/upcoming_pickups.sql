-- One row per carrier, local day and local hour at which windows open after as_of, in all accounts and in each.
-- The view counts pickups that are neither cancelled nor failed. Pickups in a country whose time zone is not configured
-- have rows of their own, in UTC (has_local_time is false). A pickup without a window has no row.
-- expected_cancellations is the number of these pickups that will still be cancelled, before or after the window opens.
-- The view adds up a probability for each pickup. If the window opens in h hours, the probability comes from the mature
-- pickups that were booked and not yet cancelled h hours before their window. It is the share that was cancelled later.
-- h is rounded to whole hours up to 12, to 4 hours up to 48, to 12 hours up to 96, and to days up to 30 days.
-- The probability of an account's carrier is shrunken towards that of the carrier over all accounts, which is shrunken
-- towards that of all carriers. Each step adds 20 pickups with the wider probability.
-- expected_cancellations_low and _high bound the 95 % interval of the number that will really be cancelled. It allows for
-- chance, for the limited number of mature pickups, and for pickups that are cancelled together. How far the pickups of an
-- account and carrier that open on one UTC day are cancelled together is measured 4, 24 and 72 hours before the window, over
-- all accounts and carriers (correlation). With fewer than ten days with two such pickups, it is assumed to be 1/3. The
-- bounds are the whole numbers that come nearest to 95 %, which may be a little more or less. Those of several rows can't be
-- added up.
-- without_estimate counts pickups whose window opens in more than 30 days, and pickups for which fewer than 30 mature
-- pickups of all carriers were booked h hours ahead. expected_cancellations leaves them out. It is null if no pickup of
-- the row has an estimate.
-- Failed pickups, and cancellations without a time, do not count for the probabilities.

-- The view is read twice instead of once, because DuckDB stores a CTE that is read twice. The columns of mature_pickups are
-- few for the same reason.
with pickups as (
    select * from analytics.pickups
    where not is_mature and pickup_from_utc > as_of_utc and not is_cancelled and not is_failed
),

mature_pickups as (
    select
        account,
        carrier,
        is_cancelled,
        lead_time_hours,
        cancellation_notice_hours,
        cast(pickup_from_utc as date) as window_opens_day_utc
    from analytics.pickups
    where is_mature and not is_failed and lead_time_hours >= 0
        and (not is_cancelled or cancellation_notice_hours is not null)
),

-- alive_4 counts the pickups that were booked and not cancelled 4 hours before their window, and later_4 those of them that
-- were cancelled later.
opening_days as (
    select
        account,
        carrier,
        window_opens_day_utc,
        cast(count(case when lead_time_hours >= 4 and (not is_cancelled or cancellation_notice_hours <= 4) then 1 end)
            as double) as alive_4,
        cast(count(case when lead_time_hours >= 24 and (not is_cancelled or cancellation_notice_hours <= 24) then 1 end)
            as double) as alive_24,
        cast(count(case when lead_time_hours >= 72 and (not is_cancelled or cancellation_notice_hours <= 72) then 1 end)
            as double) as alive_72,
        cast(count(case when lead_time_hours >= 4 and is_cancelled and cancellation_notice_hours <= 4 then 1 end)
            as double) as later_4,
        cast(count(case when lead_time_hours >= 24 and is_cancelled and cancellation_notice_hours <= 24 then 1 end)
            as double) as later_24,
        cast(count(case when lead_time_hours >= 72 and is_cancelled and cancellation_notice_hours <= 72 then 1 end)
            as double) as later_72
    from mature_pickups
    where lead_time_hours >= 4
    group by account, carrier, window_opens_day_utc
),

distances as (
    select 4 as distance
    union all
    select 24
    union all
    select 72
),

days_before as (
    select
        distance,
        account,
        carrier,
        case distance when 4 then alive_4 when 24 then alive_24 else alive_72 end as n,
        case distance when 4 then later_4 when 24 then later_24 else later_72 end as k
    from opening_days
    cross join distances
),

-- p of the m pickups of the account and carrier were cancelled.
-- A nullif around a window function, which n > 0 makes unnecessary, could not be read by DuckDB 1.4 if DuckDB 2 wrote it.
days_compared as (
    select
        distance,
        n,
        k,
        sum(n) over (partition by distance, account, carrier) as m,
        sum(k) over (partition by distance, account, carrier)
        / sum(n) over (partition by distance, account, carrier) as p
    from days_before
    where n > 0
),

-- If pickups were independent, (k - n * p)^2 would be n * (1 - n / m) times the variance p * (1 - p) * m / (m - 1).
correlations as (
    select
        distance,
        case
            when count(case when n > 1 then 1 end) < 10 then cast(1 as double) / 3
            else least(
                greatest(
                    coalesce(
                        cast(
                            sum(
                                cast(
                                    (k - n * p) * (k - n * p) - n * (m - n) * p * (1 - p) / nullif(m - 1, 0)
                                    as decimal(38, 15)
                                )
                            ) as double
                        )
                        / nullif(cast(sum(cast(n * (n - 1) * p * (1 - p) as decimal(38, 15))) as double), 0),
                        0
                    ),
                    0
                ),
                1
            )
        end as correlation
    from days_compared
    group by distance
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
        (
            coalesce(of_account.k, 0)
            + 20 * (coalesce(of_carrier.k, 0) + 20 * everyone.k / everyone.n) / (coalesce(of_carrier.n, 0) + 20)
        ) / (coalesce(of_account.n, 0) + 20) as p,
        coalesce(of_account.n, 0) + 20 as past_pickups,
        coalesce(correlations.correlation, cast(1 as double) / 3) as correlation
    from upcoming
    left join correlations
        on correlations.distance = case
            when upcoming.hours_before < 12 then 4
            when upcoming.hours_before < 48 then 24
            else 72
        end
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

-- Fractions are summed as decimals, so that the sums don't depend on the order of the rows (see rates).
-- variance is that of n pickups of an account, which are correlated, if their probability was known.
rows_of_accounts as (
    select
        account,
        carrier,
        window_opens_day_local,
        window_opens_hour_local,
        has_local_time,
        sum(pickups) as pickups,
        sum(pending) as pending,
        sum(case when p is null then pickups else 0 end) as without_estimate,
        cast(sum(case when p is null then 0 else pickups end) as double) as n,
        cast(sum(cast(pickups * p as decimal(38, 15))) as double) as expected,
        cast(sum(cast(pickups * p * (1 - p) as decimal(38, 15))) as double)
            * (1 + (sum(case when p is null then 0 else pickups end) - 1) * max(correlation))
            as variance,
        max(correlation) as correlation,
        cast(min(past_pickups) as double) as past_pickups,
        min(as_of_utc) as as_of_utc
    from estimated
    group by account, carrier, window_opens_day_local, window_opens_hour_local, has_local_time
),

-- The third moment is that of a beta-binomial distribution.
sums as (
    select
        account,
        carrier,
        window_opens_day_local,
        window_opens_hour_local,
        has_local_time,
        grouping(account) = 1 as is_every_account,
        sum(pickups) as pickups,
        sum(pending) as pending,
        sum(without_estimate) as without_estimate,
        sum(n) as n,
        cast(sum(cast(expected as decimal(38, 15))) as double) as expected,
        sqrt(cast(sum(cast(variance * (1 + n / past_pickups) as decimal(38, 15))) as double)) as deviation,
        cast(
            sum(
                cast(
                    (1 - 2 * expected / nullif(n, 0)) * (1 + (2 * n - 1) * correlation) / (1 + correlation) * variance
                    as decimal(38, 15)
                )
            ) as double
        ) as third_moment,
        min(as_of_utc) as as_of_utc
    from rows_of_accounts
    group by
        grouping sets (
            (carrier, window_opens_day_local, window_opens_hour_local, has_local_time),
            (account, carrier, window_opens_day_local, window_opens_hour_local, has_local_time)
        )
),

skewed as (
    select
        *,
        least(greatest(coalesce(third_moment / nullif(deviation * deviation * deviation, 0), 0), -2), 2) as skewness
    from sums
),

-- low_at and high_at are quantiles by the first two terms of the expansion of Cornish and Fisher: 2.5 and 97.5 %. If the
-- lower end is 0, no number can be too low, and high_at is the 95 % quantile. 0.4736 is (1.96² - 1) / 6, and 0.2843 is
-- (1.645² - 1) / 6. A bound k stands for k - 0.5 or k + 0.5 and is the one nearest to its quantile.
bounds as (
    select
        *,
        floor(expected + 0.5) as nearest,
        expected + deviation * (-1.959963984540054 + 0.4735764701 * skewness) as low_at,
        case
            when expected + deviation * (-1.959963984540054 + 0.4735764701 * skewness) < 0
                then expected + deviation * (1.6448536269514722 + 0.2842572423 * skewness)
            else expected + deviation * (1.959963984540054 + 0.4735764701 * skewness)
        end as high_at
    from skewed
),

final as (
    select
        coalesce(account, 'all') as account,
        is_every_account,
        carrier,
        window_opens_day_local,
        window_opens_hour_local,
        has_local_time,
        cast(pickups as bigint) as pickups,
        cast(pending as bigint) as pending,
        expected as expected_cancellations,
        case
            when expected is not null then cast(least(greatest(floor(low_at + 1), 0), nearest) as bigint)
        end as expected_cancellations_low,
        case
            when expected is not null then cast(least(greatest(ceil(high_at - 1), nearest), n) as bigint)
        end as expected_cancellations_high,
        cast(without_estimate as bigint) as without_estimate,
        as_of_utc
    from bounds
)

select * from final
