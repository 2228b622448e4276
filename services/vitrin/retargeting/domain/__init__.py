"""Rules of retargeting: no I/O, no clock of their own."""
