-- One row per account, carrier, country ('unknown' if the API sent no country) and local day of booking: the pickups
-- booked on that day and what became of them.
-- The statistical views treat the pickups that an account books on one day as one cluster, because a shop that changes
-- its plans cancels them together.
-- Every count includes all of the day's pickups unless its name begins with mature_ (the window ended before as_of).
-- rated = mature_cancelled + mature_kept, and failure_n = rated + mature_failed.
-- watched_48_hours counts pickups that were booked at least 48 hours before as_of, and cancelled_within_48_hours counts
-- those of them that were cancelled within 48 hours of their booking.

with pickups as (
    select * from analytics.pickups
),

final as (
    select
        account,
        carrier,
        coalesce(country, 'unknown') as country,
        booked_day_local,
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
        count(*) filter (where created_at_utc <= as_of_utc - interval 48 hours) as watched_48_hours,
        count(*) filter (
            where created_at_utc <= as_of_utc - interval 48 hours and is_cancelled and hours_to_cancel <= 48
        ) as cancelled_within_48_hours,
        min(as_of_utc) as as_of_utc
    from pickups
    group by account, carrier, coalesce(country, 'unknown'), booked_day_local
)

select * from final
