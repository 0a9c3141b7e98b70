"""From folders to integer batches: pairing, the data check, augmentation, loading and drawn sample data."""
