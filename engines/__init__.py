"""DICOM series + model → findings, masks and heatmaps: geometry, model repository, inference engines.

Knows files and arrays, no transport. Guarantee: arrays come back on the voxels of the source images, in their
order, whatever the orientation of the series; and the same input gives the same answer.
"""
