-- One row per outcome, breakdown, group and account (is_every_account: all accounts): the sums from which analytics.rates
-- computes a rate, its interval and its difference from the other groups.
-- A breakdown divides the pickups into groups, for example by carrier or by carrier and week. The family of a group
-- contains the groups with which it is compared: all carriers, a carrier's countries, weeks or bands.
-- k of n pickups have the outcome.
-- A cluster is an account's pickups that were booked on one local day. With ten or more accounts, a cluster is an
-- account. kk, kn and nn are sums over the group's clusters of k * k, k * n and n * n. In ok, o_n, mk and mn, the other
-- groups' counts in the same cluster take part: o of m pickups have the outcome.
-- The columns with family_ in their names sum to the family's totals, by day or (a_) by account.
-- The view is an intermediate step. Its columns are not meant for reports.

with days as (
    select * from analytics.booking_days
),

bands as (
    select * from analytics.booking_bands
),

carrier_days as (
    select
        carrier,
        account,
        booked_day_local,
        cast(sum(mature_cancelled) as double) as mature_cancelled,
        cast(sum(rated) as double) as rated,
        cast(sum(mature_failed) as double) as mature_failed,
        cast(sum(failure_n) as double) as failure_n,
        cast(sum(cancelled_within_48_hours) as double) as cancelled_within_48_hours,
        cast(sum(watched_48_hours) as double) as watched_48_hours
    from days
    group by carrier, account, booked_day_local
),

country_days as (
    select
        country,
        account,
        booked_day_local,
        cast(sum(mature_cancelled) as double) as mature_cancelled,
        cast(sum(rated) as double) as rated,
        cast(sum(mature_failed) as double) as mature_failed,
        cast(sum(failure_n) as double) as failure_n
    from days
    group by country, account, booked_day_local
),

account_days as (
    select
        account,
        booked_day_local,
        cast(sum(mature_cancelled) as double) as mature_cancelled,
        cast(sum(rated) as double) as rated,
        cast(sum(mature_failed) as double) as mature_failed,
        cast(sum(failure_n) as double) as failure_n,
        cast(sum(cancelled_within_48_hours) as double) as cancelled_within_48_hours,
        cast(sum(watched_48_hours) as double) as watched_48_hours
    from days
    group by account, booked_day_local
),

-- Each breakdown is a branch with a constant name, so that DuckDB and PostgreSQL skip the branches that a query leaves
-- out (where breakdown = 'carrier').
-- The outcomes are c (cancelled), f (failed) and e (early: cancelled within 48 hours). The columns with all_ sum over the
-- family's groups in the same cluster. Early cancellations and weeks aren't compared. Joins are used instead of window functions, which take twice as long (duckdb 1.5.5).
clusters as (
    select
        'total' as breakdown,
        'all' as family,
        'all' as carrier,
        'all' as country,
        cast(null as date) as week_local_start,
        'none' as measure,
        cast(null as bigint) as band,
        account,
        mature_cancelled as c_k,
        rated as c_n,
        mature_cancelled as c_all_k,
        rated as c_all_n,
        mature_failed as f_k,
        failure_n as f_n,
        mature_failed as f_all_k,
        failure_n as f_all_n,
        cancelled_within_48_hours as e_k,
        watched_48_hours as e_n
    from account_days
    union all
    select
        'carrier', 'all', part.carrier, 'all', null, 'none', null, part.account,
        part.mature_cancelled, part.rated, whole.mature_cancelled, whole.rated,
        part.mature_failed, part.failure_n, whole.mature_failed, whole.failure_n,
        part.cancelled_within_48_hours, part.watched_48_hours
    from carrier_days as part
    inner join account_days as whole on whole.account = part.account and whole.booked_day_local = part.booked_day_local
    union all
    select
        'country', 'all', 'all', part.country, null, 'none', null, part.account,
        part.mature_cancelled, part.rated, whole.mature_cancelled, whole.rated,
        part.mature_failed, part.failure_n, whole.mature_failed, whole.failure_n, 0, 0
    from country_days as part
    inner join account_days as whole on whole.account = part.account and whole.booked_day_local = part.booked_day_local
    union all
    select
        'carrier and country', part.carrier, part.carrier, part.country, null, 'none', null, part.account,
        part.mature_cancelled, part.rated, whole.mature_cancelled, whole.rated,
        part.mature_failed, part.failure_n, whole.mature_failed, whole.failure_n, 0, 0
    from days as part
    inner join carrier_days as whole
        on whole.account = part.account
        and whole.booked_day_local = part.booked_day_local
        and whole.carrier = part.carrier
    union all
    select
        'week', 'all', 'all', 'all', cast(date_trunc('week', booked_day_local) as date), 'none', null, account,
        mature_cancelled, rated, mature_cancelled, rated, mature_failed, failure_n, mature_failed, failure_n,
        cancelled_within_48_hours, watched_48_hours
    from account_days
    union all
    select
        'carrier and week', carrier, carrier, 'all', cast(date_trunc('week', booked_day_local) as date), 'none', null,
        account, mature_cancelled, rated, mature_cancelled, rated, mature_failed, failure_n, mature_failed, failure_n,
        cancelled_within_48_hours, watched_48_hours
    from carrier_days
),

-- Sums over each account's days. The share n / all_n divides a product of the whole family's counts among the groups in its
-- cluster, so that summing it over the family counts each cluster once. Fractions are summed as decimals (see rates).
accounts as (
    select
        breakdown,
        family,
        carrier,
        country,
        week_local_start,
        measure,
        band,
        account,
        sum(c_k) as c_k,
        sum(c_n) as c_n,
        count(nullif(c_n, 0)) as c_days,
        sum(c_k * c_k) as c_kk,
        sum(c_k * c_n) as c_kn,
        sum(c_n * c_n) as c_nn,
        sum(c_all_k * c_k) as c_all_k_k,
        sum(c_all_k * c_n) as c_all_k_n,
        sum(c_all_n * c_k) as c_all_n_k,
        sum(c_all_n * c_n) as c_all_n_n,
        cast(sum(cast(c_all_k * c_all_k * c_n / nullif(c_all_n, 0) as decimal(38, 15))) as double) as c_family_kk,
        sum(c_all_k * c_n) as c_family_kn,
        sum(c_all_n * c_n) as c_family_nn,
        cast(sum(cast(c_n / nullif(c_all_n, 0) as decimal(38, 15))) as double) as c_family_days,
        count(case when c_n > 0 and c_n = c_all_n then 1 end) as c_days_alone,
        sum(f_k) as f_k,
        sum(f_n) as f_n,
        count(nullif(f_n, 0)) as f_days,
        sum(f_k * f_k) as f_kk,
        sum(f_k * f_n) as f_kn,
        sum(f_n * f_n) as f_nn,
        sum(f_all_k * f_k) as f_all_k_k,
        sum(f_all_k * f_n) as f_all_k_n,
        sum(f_all_n * f_k) as f_all_n_k,
        sum(f_all_n * f_n) as f_all_n_n,
        cast(sum(cast(f_all_k * f_all_k * f_n / nullif(f_all_n, 0) as decimal(38, 15))) as double) as f_family_kk,
        sum(f_all_k * f_n) as f_family_kn,
        sum(f_all_n * f_n) as f_family_nn,
        cast(sum(cast(f_n / nullif(f_all_n, 0) as decimal(38, 15))) as double) as f_family_days,
        count(case when f_n > 0 and f_n = f_all_n then 1 end) as f_days_alone,
        sum(e_k) as e_k,
        sum(e_n) as e_n,
        count(nullif(e_n, 0)) as e_days,
        sum(e_k * e_k) as e_kk,
        sum(e_k * e_n) as e_kn,
        sum(e_n * e_n) as e_nn
    from clusters
    group by breakdown, family, carrier, country, week_local_start, measure, band, account
),

-- The bands of a single carrier aren't compared, so their groups are alone in their clusters.
band_days as (
    select
        is_every_carrier,
        carrier,
        measure,
        band,
        account,
        cast(mature_cancelled as double) as k,
        cast(rated as double) as n,
        cast(case when is_every_carrier then day_cancelled else mature_cancelled end as double) as all_k,
        cast(case when is_every_carrier then day_rated else rated end as double) as all_n
    from bands
),

band_accounts as (
    select
        is_every_carrier,
        carrier,
        measure,
        band,
        account,
        sum(k) as k,
        sum(n) as n,
        cast(count(*) as double) as days,
        sum(k * k) as kk,
        sum(k * n) as kn,
        sum(n * n) as nn,
        sum(all_k * k) - sum(k * k) as ok,
        sum(all_k * n) - sum(k * n) as o_n,
        sum(all_n * k) - sum(k * n) as mk,
        sum(all_n * n) - sum(n * n) as mn,
        cast(sum(cast(all_k * all_k * n / all_n as decimal(38, 15))) as double) as family_kk,
        sum(all_k * n) as family_kn,
        sum(all_n * n) as family_nn,
        cast(sum(cast(n / all_n as decimal(38, 15))) as double) as family_days,
        cast(count(case when n = all_n then 1 end) as double) as days_alone
    from band_days
    group by is_every_carrier, carrier, measure, band, account
),

outcomes as (
    select 'cancelled' as outcome
    union all
    select 'failed'
    union all
    select 'cancelled within 48 hours'
),

selected as (
    select
        outcome,
        breakdown,
        family,
        carrier,
        country,
        week_local_start,
        measure,
        band,
        account,
        case outcome when 'cancelled' then c_k when 'failed' then f_k else e_k end as k,
        case outcome when 'cancelled' then c_n when 'failed' then f_n else e_n end as n,
        cast(case outcome when 'cancelled' then c_days when 'failed' then f_days else e_days end as double) as days,
        case outcome when 'cancelled' then c_kk when 'failed' then f_kk else e_kk end as kk,
        case outcome when 'cancelled' then c_kn when 'failed' then f_kn else e_kn end as kn,
        case outcome when 'cancelled' then c_nn when 'failed' then f_nn else e_nn end as nn,
        case outcome when 'cancelled' then c_all_k_k - c_kk when 'failed' then f_all_k_k - f_kk else 0 end as ok,
        case outcome when 'cancelled' then c_all_k_n - c_kn when 'failed' then f_all_k_n - f_kn else 0 end as o_n,
        case outcome when 'cancelled' then c_all_n_k - c_kn when 'failed' then f_all_n_k - f_kn else 0 end as mk,
        case outcome when 'cancelled' then c_all_n_n - c_nn when 'failed' then f_all_n_n - f_nn else 0 end as mn,
        case outcome when 'cancelled' then c_family_kk when 'failed' then f_family_kk else e_kk end as family_kk,
        case outcome when 'cancelled' then c_family_kn when 'failed' then f_family_kn else e_kn end as family_kn,
        case outcome when 'cancelled' then c_family_nn when 'failed' then f_family_nn else e_nn end as family_nn,
        cast(case outcome when 'cancelled' then c_family_days when 'failed' then f_family_days else e_days end as double)
            as family_days,
        cast(case outcome when 'cancelled' then c_days_alone when 'failed' then f_days_alone else e_days end as double)
            as days_alone
    from accounts
    cross join outcomes
    union all
    select
        'cancelled', 'band', measure, 'all', 'all', null, measure, band, account,
        k, n, days, kk, kn, nn, ok, o_n, mk, mn, family_kk, family_kn, family_nn, family_days, days_alone
    from band_accounts
    where is_every_carrier
    union all
    select
        'cancelled', 'carrier and band', measure || ' of ' || carrier, carrier, 'all', null, measure, band, account,
        k, n, days, kk, kn, nn, ok, o_n, mk, mn, family_kk, family_kn, family_nn, family_days, days_alone
    from band_accounts
    where not is_every_carrier
),

compared_accounts as (
    select
        *,
        sum(k) over (partition by outcome, breakdown, family, account) - k as o,
        sum(n) over (partition by outcome, breakdown, family, account) - n as m,
        cast(count(*) over (partition by outcome, breakdown, family, account) as double) as members
    from selected
    where n > 0
),

-- The columns that begin with a_ treat each account as one cluster.
scopes as (
    select
        outcome,
        breakdown,
        family,
        carrier,
        country,
        week_local_start,
        measure,
        band,
        account,
        grouping(account) = 1 as is_every_account,
        sum(k) as k,
        sum(n) as n,
        cast(count(*) as double) as accounts,
        sum(days) as days,
        sum(kk) as kk,
        sum(kn) as kn,
        sum(nn) as nn,
        sum(ok) as ok,
        sum(o_n) as o_n,
        sum(mk) as mk,
        sum(mn) as mn,
        cast(sum(cast(family_kk as decimal(38, 15))) as double) as family_kk,
        sum(family_kn) as family_kn,
        sum(family_nn) as family_nn,
        cast(sum(cast(family_days as decimal(38, 15))) as double) as family_days,
        sum(days_alone) as days_alone,
        sum(k * k) as a_kk,
        sum(k * n) as a_kn,
        sum(n * n) as a_nn,
        sum(o * k) as a_ok,
        sum(o * n) as a_on,
        sum(m * k) as a_mk,
        sum(m * n) as a_mn,
        cast(sum(cast((k + o) * (k + o) / members as decimal(38, 15))) as double) as a_family_kk,
        cast(sum(cast((k + o) * (n + m) / members as decimal(38, 15))) as double) as a_family_kn,
        cast(sum(cast((n + m) * (n + m) / members as decimal(38, 15))) as double) as a_family_nn,
        cast(sum(cast(1 / members as decimal(38, 15))) as double) as a_family_clusters,
        cast(sum(case when m = 0 then 1 else 0 end) as double) as accounts_alone
    from compared_accounts
    group by
        grouping sets (
            (outcome, breakdown, family, carrier, country, week_local_start, measure, band, account),
            (outcome, breakdown, family, carrier, country, week_local_start, measure, band)
        )
),

final as (
    select
        outcome,
        breakdown,
        family,
        carrier,
        country,
        week_local_start,
        measure,
        band,
        coalesce(account, 'all') as account,
        is_every_account,
        accounts >= 10 as is_clustered_by_account,
        k,
        n,
        case when accounts >= 10 then accounts else days end as clusters,
        case when accounts >= 10 then accounts_alone else days_alone end as clusters_alone,
        case when accounts >= 10 then a_kk else kk end as kk,
        case when accounts >= 10 then a_kn else kn end as kn,
        case when accounts >= 10 then a_nn else nn end as nn,
        case when accounts >= 10 then a_ok else ok end as ok,
        case when accounts >= 10 then a_on else o_n end as o_n,
        case when accounts >= 10 then a_mk else mk end as mk,
        case when accounts >= 10 then a_mn else mn end as mn,
        family_kk,
        family_kn,
        family_nn,
        family_days,
        a_family_kk,
        a_family_kn,
        a_family_nn,
        a_family_clusters
    from scopes
)

select * from final
