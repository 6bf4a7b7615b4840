"""Results → the program that asked for them: a signed POST to the callback URL of its task.

Guarantees: nobody but allowed hosts is called, at an address that was checked; a requester that is slow, away or
broken holds up nobody else; every attempt at one event carries the same id.
"""
