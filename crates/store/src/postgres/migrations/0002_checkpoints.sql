-- Checkpoints: append-only, the payload inline, the caller's id time-ordered so that its index grows at one edge. The
-- head of a chain stands on its task, whose row every append locks: a head that is looked for among the checkpoints
-- could be one that was read before the lock was had.

CREATE TABLE @.checkpoints (
    checkpoint_row  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    checkpoint_id   uuid        NOT NULL UNIQUE,
    task_id         bigint      NOT NULL REFERENCES @.tasks (task_id),
    sequence_number bigint      NOT NULL,
    work_item_id    text        COLLATE "C",
    checkpoint_type text        COLLATE "C" NOT NULL,
    created_at      timestamptz NOT NULL,
    salt            bytea       NOT NULL,
    payload_digest  bytea       NOT NULL,
    evidence_digest bytea       NOT NULL,
    parent_link     bytea       NOT NULL,
    link            bytea       NOT NULL,
    evidence        bytea       NOT NULL,
    payload         bytea       NOT NULL
);

CREATE UNIQUE INDEX idx_checkpoints_task_seq ON @.checkpoints (task_id, sequence_number);

-- For whoever deletes by hand: where a beginning of the chain is gone, pruned_through says up to where; a hole further
-- on stays a hole.
CREATE FUNCTION @.checkpoints_pruned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE @.tasks AS t SET pruned_through = g.through
    FROM (SELECT d.task_id,
                 coalesce((SELECT min(c.sequence_number) - 1 FROM @.checkpoints AS c WHERE c.task_id = d.task_id),
                          (SELECT h.last_sequence FROM @.tasks AS h WHERE h.task_id = d.task_id)) AS through
          FROM (SELECT DISTINCT gone.task_id FROM gone) AS d) AS g
    WHERE t.task_id = g.task_id AND t.pruned_through < g.through;
    RETURN NULL;
END
$$;
CREATE TRIGGER checkpoints_pruned AFTER DELETE ON @.checkpoints
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION @.checkpoints_pruned();

-- Beside the checkpoint, so that a verdict rewrites no payload.
CREATE TABLE @.checkpoint_verifications (
    checkpoint_id uuid        PRIMARY KEY REFERENCES @.checkpoints (checkpoint_id) ON DELETE CASCADE,
    verdict       text        NOT NULL,
    detail        text        NOT NULL,
    verified_at   timestamptz NOT NULL
);
