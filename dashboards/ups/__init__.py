"""Inference tasks as DICOM workitems: UPS-RS (PS3.18 11), with us as their manager and performer.

``workitem`` makes a workitem of a task, ``outputs`` lists what was stored, ``orders`` reads workitems that others
create, ``search`` matches, ``reports`` tells changes, ``subscriptions`` remembers who wants them.
"""
