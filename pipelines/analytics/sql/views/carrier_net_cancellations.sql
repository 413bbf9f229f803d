-- One row per carrier (country is 'all') and one per carrier and country ('unknown' if the API sent no country), for all
-- accounts (is_every_account) and for each account.
-- The net cancellation rate leaves out cancellations that were rebooked within 24 hours (see analytics.rebookings), as far
-- as there are more of them than chance explains.
-- mature_rebooked counts the cancellations that a booking followed. rebooked_by_chance is how many of them would be
-- followed anyway. rebooked_beyond_chance_share = (mature_rebooked - rebooked_by_chance) / (cancellations with a time -
-- rebooked_by_chance), at least 0, is the share that was rebooked on purpose.
-- Like all rates, the net rate covers only mature pickups: net_cancellation_rate = net_cancelled / net_rated, where
-- net_cancelled = mature_cancelled - x, net_rated = rated - x, and x is rebooked_beyond_chance_share of the cancellations
-- with a time. Both leave out rebooked pickups, because the new booking counts separately. They need not be whole numbers.
-- If a cancellation has no time, the view can't tell whether it was rebooked, so the cancellation stays in the rate.
-- If rebooked_by_chance_share is near 1, the shop books so densely that the view can't tell a rebooking from the next
-- booking, and the interval is wide. With fewer than ten clusters, the interval of the share is null.
-- A carrier or country without rated pickups has no row.
-- Columns that end in _low or _high bound the 95 % interval, which allows for pickups that are cancelled together (see
-- rate_intervals for clusters, clustered_by and design_effect). Each pickup is counted in several rows, so never sum over
-- all rows.

with booking_days as (
    select * from analytics.booking_days
),

rebookings as (
    select * from analytics.rebookings
),

rebooked_days as (
    select
        account,
        carrier,
        coalesce(country, 'unknown') as country,
        booked_day_local,
        count(*) as timed,
        count(*) filter (where is_rebooked) as rebooked,
        sum(chance_of_a_booking) as by_chance
    from rebookings
    where is_mature
    group by account, carrier, coalesce(country, 'unknown'), booked_day_local
),

-- k of n pickups are cancelled. d cancellations are rebooked beyond chance, out of q that could be.
days as (
    select
        account,
        carrier,
        country,
        booked_day_local,
        cast(booking_days.mature_cancelled as double) as k,
        cast(booking_days.rated as double) as n,
        cast(coalesce(rebooked_days.timed, 0) as double) as timed,
        cast(coalesce(rebooked_days.rebooked, 0) as double) as rebooked,
        coalesce(rebooked_days.rebooked - rebooked_days.by_chance, 0) as d,
        coalesce(rebooked_days.timed - rebooked_days.by_chance, 0) as q
    from booking_days
    left join rebooked_days using (account, carrier, country, booked_day_local)
    where booking_days.rated > 0
),

-- An account's pickups of one day form a cluster, whatever their country.
clusters as (
    select
        account,
        carrier,
        coalesce(country, 'all') as country,
        sum(k) as k,
        sum(n) as n,
        sum(timed) as timed,
        sum(rebooked) as rebooked,
        sum(d) as d,
        sum(q) as q
    from days
    group by grouping sets ((account, carrier, booked_day_local), (account, carrier, country, booked_day_local))
),

accounts as (
    select
        account,
        carrier,
        country,
        sum(k) as k,
        sum(n) as n,
        sum(timed) as timed,
        sum(rebooked) as rebooked,
        sum(d) as d,
        sum(q) as q,
        cast(count(*) as double) as days,
        sum(k * k) as kk,
        sum(k * n) as kn,
        sum(n * n) as nn,
        sum(k * d) as kd,
        sum(n * d) as nd,
        sum(d * d) as dd,
        sum(d * q) as dq,
        sum(q * q) as qq
    from clusters
    group by account, carrier, country
),

-- The columns that begin with a_ treat each account as one cluster.
scopes as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        country,
        count(*) >= 10 as is_clustered_by_account,
        cast(count(*) as double) as accounts,
        sum(days) as days,
        sum(k) as k,
        sum(n) as n,
        sum(timed) as timed,
        sum(rebooked) as rebooked,
        sum(d) as d,
        sum(q) as q,
        sum(kk) as kk,
        sum(kn) as kn,
        sum(nn) as nn,
        sum(kd) as kd,
        sum(nd) as nd,
        sum(dd) as dd,
        sum(dq) as dq,
        sum(qq) as qq,
        sum(k * k) as a_kk,
        sum(k * n) as a_kn,
        sum(n * n) as a_nn,
        sum(k * d) as a_kd,
        sum(n * d) as a_nd,
        sum(d * d) as a_dd,
        sum(d * q) as a_dq,
        sum(q * q) as a_qq
    from accounts
    group by grouping sets ((carrier, country), (account, carrier, country))
),

chosen as (
    select
        account,
        is_every_account,
        carrier,
        country,
        is_clustered_by_account,
        k,
        n,
        timed,
        rebooked,
        d,
        q,
        case when is_clustered_by_account then accounts else days end as clusters,
        case when is_clustered_by_account then a_kk else kk end as kk,
        case when is_clustered_by_account then a_kn else kn end as kn,
        case when is_clustered_by_account then a_nn else nn end as nn,
        case when is_clustered_by_account then a_kd else kd end as kd,
        case when is_clustered_by_account then a_nd else nd end as nd,
        case when is_clustered_by_account then a_dd else dd end as dd,
        case when is_clustered_by_account then a_dq else dq end as dq,
        case when is_clustered_by_account then a_qq else qq end as qq,
        case when q > 0 then greatest(d / q, 0) end as share
    from scopes
),

netted as (
    select
        *,
        coalesce(share * timed, 0) as left_out,
        n - coalesce(share * timed, 0) as net_n,
        (k - coalesce(share * timed, 0)) / nullif(n - coalesce(share * timed, 0), 0) as p
    from chosen
),

-- The residual of a cluster is k - p * n - h * d for the net rate, and d - share * q for the share.
weighted as (
    select
        *,
        case when q > 0 then (1 - p) * timed / q else 0 end as h
    from netted
),

residuals as (
    select
        *,
        case
            when clusters >= 10
                then clusters / (clusters - 1)
                    * greatest(kk - 2 * p * kn + p * p * nn - 2 * h * kd + 2 * p * h * nd + h * h * dd, 0)
                    / nullif(net_n * net_n, 0)
        end as variance,
        p * (1 - p) / nullif(net_n - 1, 0) as independent_variance,
        case
            when clusters >= 10 and q > 0
                then sqrt(clusters / (clusters - 1) * greatest(dd - 2 * share * dq + share * share * qq, 0)) / q
        end as share_error,
        case when clusters >= 10 then 1 / (clusters - 1) else 0 end as x
    from weighted
),

effects as (
    select
        *,
        case
            when clusters < 10 then 1 + (nn / n - 1) / 3
            when variance > independent_variance then coalesce(variance / nullif(independent_variance, 0), 1)
            else 1
        end as design_effect,
        -- Student's t by degrees of freedom, as in rate_intervals
        1.959963984540054 + x * (
            2.3722712304926996 + x * (
                2.822498490309585 + x * (
                    2.55586257303223 + x * (1.5890629256712985 + x * (0.7401502063551798 + x * 0.5891102514117579))
                )
            )
        ) as t
    from residuals
),

bounded as (
    select
        *,
        net_n / design_effect as effective_n
    from effects
),

final as (
    select
        account,
        is_every_account,
        carrier,
        country,
        cast(k as bigint) as mature_cancelled,
        cast(rebooked as bigint) as mature_rebooked,
        timed - q as rebooked_by_chance,
        (timed - q) / nullif(timed, 0) as rebooked_by_chance_share,
        share as rebooked_beyond_chance_share,
        case when share_error is not null then greatest(share - t * share_error, 0) end
            as rebooked_beyond_chance_share_low,
        case when share_error is not null then least(share + t * share_error, 1) end
            as rebooked_beyond_chance_share_high,
        k - left_out as net_cancelled,
        net_n as net_rated,
        p as net_cancellation_rate,
        (2 * effective_n * p + t * t - t * sqrt(greatest(t * t + 4 * effective_n * p * (1 - p), 0)))
        / (2 * (effective_n + t * t)) as net_cancellation_rate_low,
        (2 * effective_n * p + t * t + t * sqrt(greatest(t * t + 4 * effective_n * p * (1 - p), 0)))
        / (2 * (effective_n + t * t)) as net_cancellation_rate_high,
        cast(clusters as bigint) as clusters,
        case
            when clusters < 10 then 'assumption'
            when is_clustered_by_account then 'account'
            else 'account and day'
        end as clustered_by,
        design_effect
    from bounded
)

select * from final
