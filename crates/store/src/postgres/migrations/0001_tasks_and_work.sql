-- Tasks and work items. The character @ stands for the schema. Times are kept to the millisecond. task_id is the
-- integer that rows refer to; task_key is the caller's name. Names compare by their bytes, as on every backend.

CREATE TABLE @.store_meta (
    id             smallint PRIMARY KEY CHECK (id = 1),
    application    text     NOT NULL,
    schema_version integer  NOT NULL
);
INSERT INTO @.store_meta (id, application, schema_version) VALUES (1, 'steadfast', 0);

-- Written by a durable batch that rests on an earlier one and changes nothing itself: a commit without a change
-- flushes nothing. Several rows, so that such batches seldom wait for one another.
CREATE TABLE @.durability_marks (
    mark  smallint PRIMARY KEY,
    count bigint   NOT NULL
);
INSERT INTO @.durability_marks (mark, count) SELECT n, 0 FROM generate_series(0, 15) AS n;

-- The one place that reads a clock: it decides every lease, and dates every row. Tests replace it.
CREATE FUNCTION @.store_clock(OUT store_time timestamptz, OUT wall_time timestamptz)
    LANGUAGE sql VOLATILE
    AS $$ SELECT date_trunc('milliseconds', c.t), date_trunc('milliseconds', c.t) FROM (SELECT clock_timestamp() AS t) AS c $$;

CREATE TABLE @.tasks (
    task_id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_key       text        COLLATE "C" NOT NULL UNIQUE,
    task_type      text        COLLATE "C" NOT NULL,
    status         text        NOT NULL,
    input_digest   bytea       NOT NULL,
    result_digest  bytea,
    last_sequence  bigint      NOT NULL DEFAULT 0,
    head_link      bytea       NOT NULL,
    pruned_through bigint      NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL,
    finished_at    timestamptz
) WITH (fillfactor = 80);

-- Beside the task, so that a moving head rewrites no payload.
CREATE TABLE @.task_payloads (
    task_id bigint PRIMARY KEY REFERENCES @.tasks (task_id),
    input   bytea  NOT NULL,
    result  bytea
);

CREATE TABLE @.work_items (
    item_row          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    work_item_id      text        COLLATE "C" NOT NULL UNIQUE,
    task_id           bigint      NOT NULL REFERENCES @.tasks (task_id),
    work_type         text        COLLATE "C" NOT NULL,
    status            text        NOT NULL,
    priority          integer     NOT NULL,
    available_at      timestamptz NOT NULL,
    fence             bigint      NOT NULL DEFAULT 0,
    attempt           bigint      NOT NULL DEFAULT 0,
    max_attempts      bigint      NOT NULL,
    lease_holder      text        COLLATE "C",
    lease_acquired_at timestamptz,
    lease_expires_at  timestamptz,
    transition_id     uuid,
    settled_fence     bigint,
    settlement        text,
    created_at        timestamptz NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX idx_work_items_lease
    ON @.work_items (lease_expires_at) WHERE status = 'in_progress';
CREATE INDEX idx_work_items_status_priority
    ON @.work_items (priority DESC, available_at, work_item_id) WHERE status = 'pending';
CREATE INDEX idx_work_items_transition
    ON @.work_items (transition_id) WHERE transition_id IS NOT NULL;
CREATE INDEX idx_work_items_task
    ON @.work_items (task_id);
