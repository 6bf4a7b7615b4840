"""Inference task → result, findings and status, in one transaction with the task's offset.

Two processes: one speaks to Kafka, reads far ahead and decides the order, the other computes. P1 goes before
everything that waits and is let in at the next step of what is running; the other classes share. Guarantee: each
task gets exactly one answer, whatever dies when.
"""
