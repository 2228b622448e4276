"""Audiences: the rule language, and the engine that keeps memberships exact as events come and as time passes.

Pure: no I/O, no clock, no randomness. `language` turns JSON into a rule, `engine` keeps members, `watching` turns
changes of items into events of those who looked. The contract, the tables around it and the measured choices are in
deploy/adr/0030-audience-engine.md; the language is in deploy/rules.md.
"""
