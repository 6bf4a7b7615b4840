"""``scanstream demo``: a real head MR through the whole system, and proof of what came out.

``fresh`` makes the study new, ``local_stack`` finds or starts the system, ``stages`` tells how far the study is,
``evidence`` fetches and checks every result, ``ledger`` counts what the log holds, ``overlay`` draws, ``screen``
shows, ``run`` puts it together.
"""
