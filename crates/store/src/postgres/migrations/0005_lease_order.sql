-- Sweeps take expired leases by deadline and then by id. With the id in the index a page reads its own rows and no
-- more, also where thousands of leases end in one millisecond, as those of one large claim do.

DROP INDEX @.idx_work_items_lease;
CREATE INDEX idx_work_items_lease
    ON @.work_items (lease_expires_at, work_item_id) WHERE status = 'in_progress';
