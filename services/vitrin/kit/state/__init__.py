"""The whole state of a compacted topic, from its owner's tables: published anew, or streamed to a new replica."""
