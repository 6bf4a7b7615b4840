-- What each model said, for analysts: one row per result.
CREATE VIEW IF NOT EXISTS results AS
SELECT
    event_time,
    study_instance_uid,
    task_id,
    JSONExtractString(body, 'model', 'name') AS model,
    JSONExtractString(body, 'model', 'version') AS model_version,
    JSONExtractString(body, 'outcome') AS outcome,
    JSONExtractString(body, 'priority') AS priority,
    JSONExtractString(body, 'node') AS node,
    dateDiff('millisecond', parseDateTime64BestEffort(JSONExtractString(body, 'task_created_at'), 3, 'UTC'),
             event_time) AS since_task_ms
FROM events
WHERE record = 'InferenceResult'
