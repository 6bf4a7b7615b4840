"""DICOMweb service of the gateway (PS3.18): STOW-RS, QIDO-RS, WADO-RS, rendered images, DELETE; artifacts, health.

HTTP requests → instances made durable, and instances → responses. The ``*_routes`` files do the IO; what a request
asks for (``query``, ``media``, ``retrieve``, ``conditional``, ``render_request``) and what is made of an instance
(``dicom_json``, ``native_xml``, ``grayscale``, ``image_files``, ``stow_response``) is decided in pure files.
"""
