-- One row per record that couldn't be loaded, without the record itself (sendcloud.pickups_quarantine has it).
-- first_seen and last_seen are the API's clock. It is resolved when a pickup with the record's id became readable, or
-- was refused anew in another form, which is a row of its own.

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
