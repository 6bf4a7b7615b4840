"""HL7 v2 over MLLP → ``clinical.context``: orders and admissions, acknowledged once Kafka has them.

::

    server ──payload──▶ worker thread ──▶ Kafka (one transaction for many messages)
      ▲                   │  text, patient, orders, admissions: pure
      └────answers────────┘  known: what the log says of each key

``server`` has the sockets, ``writer`` the producer, ``log_reader`` the consumer, ``kept`` the files; the rest is
pure.
"""
