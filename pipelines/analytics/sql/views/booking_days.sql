-- One row per account, carrier, country ('unknown' if the API sent no country) and local day of booking: the counts from
-- which the rates are computed.
-- The statistical views treat the pickups that an account books on one day as one cluster, because a shop that changes
-- its plans cancels them together.
-- mature_ counts include only pickups whose window ended before as_of. rated counts the mature pickups that were cancelled
-- or kept, and failure_n counts the mature pickups that aren't pending.
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
        count(*) filter (where is_mature and is_cancelled) as mature_cancelled,
        count(*) filter (where is_mature and (is_cancelled or is_kept)) as rated,
        count(*) filter (where is_mature and is_failed) as mature_failed,
        count(*) filter (where is_mature and not is_pending) as failure_n,
        count(*) filter (
            where epoch_us(created_at_utc) <= epoch_us(as_of_utc) - 172800000000 and is_cancelled and hours_to_cancel <= 48
        ) as cancelled_within_48_hours,
        count(*) filter (where epoch_us(created_at_utc) <= epoch_us(as_of_utc) - 172800000000) as watched_48_hours
    from pickups
    group by account, carrier, coalesce(country, 'unknown'), booked_day_local
)

select * from final
