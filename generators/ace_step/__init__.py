"""ACE-Step 1.5 in the format of diffusers."""
