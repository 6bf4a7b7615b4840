"""``inference.results`` → one destination: the poll loop that all writers share, and the decisions in it.

Guarantees: an offset is committed only together with the outcome of its result, after the destination confirmed;
results of one study keep their order; a destination that is away costs nothing but time; a result that cannot be
delivered ends in the dead-letter topic with its reason, and too many of those stop the writer.
"""
