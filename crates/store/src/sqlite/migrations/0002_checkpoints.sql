-- Checkpoints: append-only, the payload inline, the caller's id time-ordered so that its index grows at one edge.

CREATE TABLE checkpoints (
    checkpoint_row  INTEGER PRIMARY KEY,
    checkpoint_id   BLOB    NOT NULL UNIQUE,
    task_id         INTEGER NOT NULL REFERENCES tasks (task_id),
    sequence_number INTEGER NOT NULL,
    work_item_id    TEXT,
    checkpoint_type TEXT    NOT NULL,
    created_at      TEXT    NOT NULL,
    salt            BLOB    NOT NULL,
    payload_digest  BLOB    NOT NULL,
    evidence_digest BLOB    NOT NULL,
    parent_link     BLOB    NOT NULL,
    link            BLOB    NOT NULL,
    evidence        BLOB    NOT NULL,
    payload         BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX idx_checkpoints_task_seq ON checkpoints (task_id, sequence_number);

-- The newest checkpoint is the head of its task, so that an append need not rewrite the task. What goes leaves its
-- number and link on the task, by whoever's hand: numbers are never given out twice. Where a beginning of the chain is
-- gone, pruned_through says up to where; a hole further on stays a hole.
CREATE TRIGGER checkpoints_pruned AFTER DELETE ON checkpoints
BEGIN
    UPDATE tasks SET last_sequence = OLD.sequence_number, head_link = OLD.link
    WHERE task_id = OLD.task_id AND last_sequence < OLD.sequence_number;
    UPDATE tasks SET pruned_through =
        ifnull((SELECT min(sequence_number) - 1 FROM checkpoints WHERE task_id = OLD.task_id), last_sequence)
    WHERE task_id = OLD.task_id AND pruned_through < OLD.sequence_number
      AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE task_id = OLD.task_id AND sequence_number < OLD.sequence_number);
END;

-- Beside the checkpoint, so that a verdict rewrites no payload.
CREATE TABLE checkpoint_verifications (
    checkpoint_id  BLOB PRIMARY KEY REFERENCES checkpoints (checkpoint_id) ON DELETE CASCADE,
    verdict        TEXT    NOT NULL,
    detail         TEXT    NOT NULL,
    verified_at    TEXT    NOT NULL
) STRICT;
