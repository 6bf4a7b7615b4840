"""The whole system on one machine: Apache Kafka, every process, one supervisor, and nothing to configure."""
