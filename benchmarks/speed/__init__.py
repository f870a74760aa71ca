"""The comparison of speed: the same training steps by several contenders, side by side in one run."""
