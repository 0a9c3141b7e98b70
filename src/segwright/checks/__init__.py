"""The data check: rules over what was read of image-mask pairs, and findings for people and for a training."""
