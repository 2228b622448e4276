"""The command line: talks HTTP to the services; `up`, `serve`, `migrate` and `topics` start or prepare them.

Everything heavy is imported inside the command that needs it, so that `vitrin --help` is quick and
`vitrin serve accounts` loads no other service.
"""
