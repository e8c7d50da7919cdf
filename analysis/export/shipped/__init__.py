"""Python that leaves with an export, as it stands: needs torch alone, never Prunescope."""
