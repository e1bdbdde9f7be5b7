"""What making and scoring clips costs: FLOP in units of a clip, memory, and hours on a device."""
