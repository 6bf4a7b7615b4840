"""Results on Kafka → the systems of a hospital, one writer process and one consumer group per destination.

A writer commits its offset only after its destination confirmed, together with the
:class:`~schemas.events.DeliveryOutcome`. Everything that it writes has a deterministic identifier, so a second
write is the same write.
"""
