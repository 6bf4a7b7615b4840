"""``inference.results`` → one topic per finding type, by a Faust app.

Findings are copies of what a result already says, so they may be made again at any time; a copy that is made twice
carries the same event id.
"""
