-- One row per Kafka message. Partitioned by the time of the insert, which is one value per batch, so that a batch
-- lands in one part: all of its rows or none.
CREATE TABLE IF NOT EXISTS events
(
    topic              LowCardinality(String),
    partition          UInt32,
    offset             UInt64,
    record             LowCardinality(String) COMMENT 'Avro record; empty when the value could not be decoded',
    event_id           String,
    event_time         DateTime64(3, 'UTC'),
    source             LowCardinality(String) COMMENT 'CloudEvents source',
    message_key        String,
    study_instance_uid String,
    task_id            String,
    body               String COMMENT 'the event as JSON, keys sorted; base64 of the bytes when undecodable',
    problem            String COMMENT 'why the value could not be decoded',
    prev_hash          FixedString(64),
    hash               FixedString(64) COMMENT 'SHA-256 of topic|partition|offset|prev_hash|body, hexadecimal',
    inserted_at        DateTime64(3, 'UTC'),
    INDEX by_study study_instance_uid TYPE bloom_filter GRANULARITY 4,
    INDEX by_task task_id TYPE bloom_filter GRANULARITY 4,
    CONSTRAINT chained CHECK hash = lower(hex(SHA256(concat(
        topic, '|', toString(partition), '|', toString(offset), '|', prev_hash, '|', body))))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(inserted_at)
ORDER BY (topic, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000
