-- What each destination said, for analysts: one row per result and destination.
CREATE VIEW IF NOT EXISTS deliveries AS
SELECT
    event_time,
    study_instance_uid,
    task_id,
    JSONExtractString(body, 'destination') AS destination,
    JSONExtractString(body, 'priority') AS priority,
    JSONExtractString(body, 'status') AS status,
    JSONExtractFloat(body, 'latency_ms') AS latency_ms,
    JSONExtractUInt(body, 'attempt') AS attempt
FROM events
WHERE record = 'DeliveryOutcome'
