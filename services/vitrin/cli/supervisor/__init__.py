"""Starts every part of a local Vitrin as its own process, watches them, and stops them in reverse order."""
