"""Rendered DICOM objects → the PACS by STOW-RS (PS3.18 10.5), with an outcome for each instance."""
