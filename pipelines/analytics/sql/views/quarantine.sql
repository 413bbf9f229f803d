-- One row per record that couldn't be loaded, without the record itself (see sendcloud.pickups_quarantine).
-- first_seen_at_utc and last_seen_at_utc come from the API's clock. A record is resolved when a pickup with its id
-- becomes readable. A record is also resolved when its pickup is rejected again in a different form, which gets its own
-- row.

with quarantine as (
    select * from sendcloud.pickups_quarantine
),

final as (
    select
        account,
        record_hash,
        reason,
        make_timestamp(epoch_us(first_seen_at)) as first_seen_at_utc,
        make_timestamp(epoch_us(last_seen_at)) as last_seen_at_utc,
        make_timestamp(epoch_us(resolved_at)) as resolved_at_utc,
        resolved_at is not null as is_resolved
    from quarantine
)

select * from final
