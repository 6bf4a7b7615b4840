"""Inference task → result, findings and status, in one transaction with the task's offset.

The poll thread reads and commits, another thread computes; P1 goes before everything that waits and is let in at
the next step of what is running. Guarantee: each task gets exactly one answer, whatever dies when.
"""
