"""Arrival → event: DICOM instances become durable files and rows, then events on Kafka.

Holds the gateway (DIMSE, DICOMweb, store, outbox relay) and the clients that every later stage shares: the Kafka
clients, the schema registry and the claim check. Guarantee: success is answered only for what is durable, and
what is durable is published exactly once, however long Kafka is away.
"""
