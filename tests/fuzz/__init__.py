"""Bytes from strangers → every reader that meets them first.

A target takes any bytes, and raises only when a reader breaks a promise of its docstring.
``make fuzz`` looks for such bytes with a coverage-guided fuzzer; ``test_corpus`` replays what is kept in
``corpus/<target>/`` without it.
"""
