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

-- Each breakdown is a branch with a constant name, so that DuckDB and PostgreSQL skip the branches that a query leaves
-- out (where breakdown = 'carrier').
cells as (
    select
        'total' as breakdown, 'all' as family, 'all' as carrier, 'all' as country, cast(null as date) as week_local_start,
        'none' as measure, cast(null as bigint) as band, account, booked_day_local, mature_cancelled, mature_failed,
        mature_status_conflicts, cancelled_within_48_hours, rated, failure_n, watched_48_hours
    from days
    union all
    select
        'carrier', 'all', carrier, 'all', null, 'none', null, account, booked_day_local, mature_cancelled, mature_failed,
        mature_status_conflicts, cancelled_within_48_hours, rated, failure_n, watched_48_hours
    from days
    union all
    select
        'country', 'all', 'all', country, null, 'none', null, account, booked_day_local, mature_cancelled, mature_failed,
        mature_status_conflicts, cancelled_within_48_hours, rated, failure_n, watched_48_hours
    from days
    union all
    select
        'carrier and country', carrier, carrier, country, null, 'none', null, account, booked_day_local,
        mature_cancelled, mature_failed, mature_status_conflicts, cancelled_within_48_hours, rated, failure_n,
        watched_48_hours
    from days
    union all
    select
        'week', 'all', 'all', 'all', cast(date_trunc('week', booked_day_local) as date), 'none', null, account,
        booked_day_local, mature_cancelled, mature_failed, mature_status_conflicts, cancelled_within_48_hours, rated,
        failure_n, watched_48_hours
    from days
    union all
    select
        'carrier and week', carrier, carrier, 'all', cast(date_trunc('week', booked_day_local) as date), 'none', null,
        account, booked_day_local, mature_cancelled, mature_failed, mature_status_conflicts, cancelled_within_48_hours,
        rated, failure_n, watched_48_hours
    from days
    union all
    select
        'band', measure, 'all', 'all', null, measure, band, account, booked_day_local, mature_cancelled, 0, 0, 0, rated, 0, 0
    from bands
    union all
    select
        'carrier and band', measure || ' ' || carrier, carrier, 'all', null, measure, band, account, booked_day_local,
        mature_cancelled, 0, 0, 0, rated, 0, 0
    from bands
),

outcomes as (
    select 'cancelled' as outcome
    union all
    select 'failed'
    union all
    select 'cancelled by status'
    union all
    select 'cancelled within 48 hours'
),

counted as (
    select
        outcomes.outcome,
        cells.*,
        case outcomes.outcome
            when 'cancelled' then cells.mature_cancelled
            when 'failed' then cells.mature_failed
            when 'cancelled by status' then cells.mature_cancelled - cells.mature_status_conflicts
            else cells.cancelled_within_48_hours
        end as has_outcome,
        case outcomes.outcome
            when 'failed' then cells.failure_n
            when 'cancelled within 48 hours' then cells.watched_48_hours
            else cells.rated
        end as counted_pickups
    from cells
    cross join outcomes
),

clusters as (
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
        booked_day_local,
        cast(sum(has_outcome) as double) as k,
        cast(sum(counted_pickups) as double) as n
    from counted
    where counted_pickups > 0
    group by
        outcome, breakdown, family, carrier, country, week_local_start, measure, band, account, booked_day_local
),

-- o and m count the other groups' pickups in the same cluster. members is the number of groups in the cluster.
compared as (
    select
        *,
        sum(k) over (partition by outcome, breakdown, family, account, booked_day_local) - k as o,
        sum(n) over (partition by outcome, breakdown, family, account, booked_day_local) - n as m,
        cast(count(*) over (partition by outcome, breakdown, family, account, booked_day_local) as double) as members
    from clusters
),

-- Sums over each account's days. A product of the whole family's counts (k + o, n + m) is divided among the members of
-- its cluster, so that summing it over the family counts each cluster once.
accounts as (
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
        sum(k) as k,
        sum(n) as n,
        cast(count(*) as double) as days,
        sum(k * k) as kk,
        sum(k * n) as kn,
        sum(n * n) as nn,
        sum(o * k) as ok,
        sum(o * n) as o_n,
        sum(m * k) as mk,
        sum(m * n) as mn,
        sum((k + o) * (k + o) / members) as family_kk,
        sum((k + o) * (n + m) / members) as family_kn,
        sum((n + m) * (n + m) / members) as family_nn,
        sum(1 / members) as family_days,
        sum(case when m = 0 then 1 else 0 end) as days_alone
    from compared
    group by outcome, breakdown, family, carrier, country, week_local_start, measure, band, account
),

compared_accounts as (
    select
        *,
        sum(k) over (partition by outcome, breakdown, family, account) - k as o,
        sum(n) over (partition by outcome, breakdown, family, account) - n as m,
        cast(count(*) over (partition by outcome, breakdown, family, account) as double) as members
    from accounts
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
        sum(family_kk) as family_kk,
        sum(family_kn) as family_kn,
        sum(family_nn) as family_nn,
        sum(family_days) as family_days,
        sum(days_alone) as days_alone,
        sum(k * k) as a_kk,
        sum(k * n) as a_kn,
        sum(n * n) as a_nn,
        sum(o * k) as a_ok,
        sum(o * n) as a_on,
        sum(m * k) as a_mk,
        sum(m * n) as a_mn,
        sum((k + o) * (k + o) / members) as a_family_kk,
        sum((k + o) * (n + m) / members) as a_family_kn,
        sum((n + m) * (n + m) / members) as a_family_nn,
        sum(1 / members) as a_family_clusters,
        sum(case when m = 0 then 1 else 0 end) as accounts_alone
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
