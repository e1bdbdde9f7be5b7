"""AudioLDM 2 in the format of diffusers."""
