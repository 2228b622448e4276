"""The story that `make run` tells: a catalog goes in, platforms show it, every arrival is proven."""
