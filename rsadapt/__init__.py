"""rsadapt: make a segmentation network that was trained where labels exist work where none do."""
