"""Critical findings → people who are told until one of them answers.

``alarm`` says how an alarm moves and ``intake`` which event moves it (both pure), ``book`` holds the alarms of the
partitions that are ours, ``runtime`` reads, decides, commits and has notices sent, ``channels`` are the ways out.

Guarantees: an alarm is committed with the offset of its result before the first notice, so no crash loses one; the
same finding never alarms twice for a replay, a redelivery or a second run; a channel that is away makes the next
channel or contact be told at once. A crash between sending a notice and noting it sends that notice again under
the same identifier, by which a receiver can drop it.
"""
