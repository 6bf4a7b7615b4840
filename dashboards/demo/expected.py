"""What the demonstration must find: the volume that this release's model gives for this series.

It tells whether the system works, not how the patient is: the model was made for T1-weighted images, and this
series is proton density.
"""

from __future__ import annotations

from typing import Final

REFERENCE_ML: Final = 1170.0
TOLERANCE: Final = 0.05

SMALLEST_ML: Final = REFERENCE_ML * (1 - TOLERANCE)
LARGEST_ML: Final = REFERENCE_ML * (1 + TOLERANCE)
