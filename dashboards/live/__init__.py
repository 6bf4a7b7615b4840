"""What is going on now: a live, bounded picture of studies and tasks, folded from the log.

``records`` says what is known, ``fold`` how one event changes it (pure), ``view`` keeps it within bounds and
``follow`` reads it from Kafka.
"""
