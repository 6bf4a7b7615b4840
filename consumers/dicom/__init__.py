"""One inference result → DICOM objects for the PACS: Segmentation and structured report. Pure functions.

Guarantee: rendering the same result twice gives the same bytes, so a repeated delivery stores the same object.
"""
