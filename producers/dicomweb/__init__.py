"""DICOMweb service of the gateway (PS3.18): STOW-RS, QIDO-RS, WADO-RS, artifacts, health.

HTTP requests → instances made durable, and instances → responses. The pure files (``multipart``, ``media``,
``query``, ``stow_response``, ``dicom_json``) hold the decisions; the ``*_routes`` files do the IO.
"""
