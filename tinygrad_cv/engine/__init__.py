"""What a student of the engine may skip: errors, switches, the NumPy interface, signatures,
speed."""
