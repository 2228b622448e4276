"""The offline optimum of P18: the fewest batches that serve changes whose times are all known beforehand.

Definition: every change is in a batch sent no later than `window_s` after it was made; the first change is sent at once
(after silence nothing may be held back); a batch takes at most `items_max` changes. Sending as late as the oldest
waiting change allows is optimal (interval stabbing), and a full batch never helps by waiting.
"""

from collections.abc import Sequence


def fewest_batches(times_s: Sequence[float], *, window_s: float, items_max: int) -> int:
    waiting = sorted(times_s)
    if not waiting:
        return 0
    batches, position, send_s = 0, 0, waiting[0]
    while position < len(waiting):
        end = position
        while end < len(waiting) and end - position < items_max and waiting[end] <= send_s:
            end += 1
        batches += 1
        position = end
        if position < len(waiting):
            send_s = max(send_s, waiting[position] + window_s)
    return batches
