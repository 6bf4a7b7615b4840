"""DICOM series + model → measurements and a mask: geometry, model repository, inference engines.

Knows files and arrays, no transport. Guarantee: the mask comes back on the voxels of the source images, in their
order, whatever the orientation of the series; and the same input gives the same answer.
"""
