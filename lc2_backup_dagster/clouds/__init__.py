"""Object stores, managed databases and keys behind small ports. Only ``registry`` names a cloud."""
