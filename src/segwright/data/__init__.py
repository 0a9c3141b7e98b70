"""From folders, lists, streams and other tools' data to integer batches, checked and looked at on the way."""
