"""Rendered DICOM objects → the PACS by STOW-RS (PS3.18 10.5) or C-STORE (PS3.4 B), with an outcome for each."""
