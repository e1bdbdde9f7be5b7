"""Making a listening test: systems, design, levels, clips, and the check that nothing tells a system."""
