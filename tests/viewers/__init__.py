"""Real viewers, driven without a screen: what a radiologist would see of our objects."""
