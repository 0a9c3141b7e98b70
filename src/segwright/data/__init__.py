"""From folders, lists and streams of images and masks to batches of integer crops."""
