"""Maps and label images of a trained network, as the settings of its run decide."""
