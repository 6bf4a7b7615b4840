"""Event → decision: studies are assembled, given a priority and a model, and failed tasks are tried again.

Read :mod:`streams.processor` first: the topology is its docstring. :mod:`streams.study` and
:mod:`streams.assembly` decide when a study is complete, :mod:`streams.rules` (with ``rules.yaml``) how urgent it
is, :mod:`streams.routing` which model sees which series, :mod:`streams.retry` when a failed task runs again; all
of these are pure. :mod:`streams.transactions` carries their decisions. Guarantee: each decision and the input that
it was made from are committed in one Kafka transaction, so a crash neither loses nor doubles a study or a task.
"""
