"""Models that classify images, find objects in them, and segment them."""
