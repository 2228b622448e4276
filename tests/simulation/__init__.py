"""Seeded simulation of the house's decisions: the real pure functions, plain dictionaries as state, virtual time.

    scenario.py   what happens: changes, deletes, faults, crashes, stalls, approvals, by virtual time, from a seed
    clockwork.py  processes that can be killed or stalled between any two steps
    spine.py      outbox, leases, relays, a broker that can come back empty, a consumer that stores its own offsets
    platform.py   a platform: quota, batches, refusals, lost answers, drift
    shop.py       shop_sync's database and what a transaction of it does
    worker.py     shop_sync's worker: takes, sends, hunts, polls, looks
    world.py      all of it together, what must hold at every step, and what must be true when it has come to rest
    drills.py     decisions alone, more of them than a whole house has time for

What stands in a dictionary of `spine.Database` or `shop.Shop` was committed; a killed process loses the rest.
"""
