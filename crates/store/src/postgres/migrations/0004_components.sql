-- What the components need beyond the first slice: claims by work type, the reason of a settlement, dead letters,
-- copies and erasure of checkpoints, the age of outcomes.

ALTER TABLE @.work_items ADD COLUMN detail text NOT NULL DEFAULT '';

CREATE INDEX idx_work_items_kind
    ON @.work_items (work_type, priority DESC, available_at, work_item_id) WHERE status = 'pending';
CREATE INDEX idx_work_items_dead
    ON @.work_items (status, work_item_id) WHERE status IN ('failed', 'needs_attention');

-- The first checkpoint that had this payload, on those that were copied from it: all of them are erased together. What
-- is erased has an empty payload and a salt of zeros.
ALTER TABLE @.checkpoints ADD COLUMN copy_of uuid;
ALTER TABLE @.checkpoints ADD COLUMN erased_at timestamptz;

CREATE INDEX idx_checkpoints_copies ON @.checkpoints (copy_of) WHERE copy_of IS NOT NULL;

CREATE INDEX idx_idempotency_keys_finished
    ON @.idempotency_keys (finished_at, idempotency_key) WHERE finished_at IS NOT NULL;
