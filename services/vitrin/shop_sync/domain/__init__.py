"""Pure rules of shop_sync: replica, desired state, item states, batches, schedules, words. No I/O, no clock."""
