"""P22, its second half: addresses normalised, checked and hashed for an upload, against raw SHA-256 of the bytes.

The baseline is handed finished bytes and does nothing but `sha256(...).hexdigest()`; ours is handed text with capitals,
as a shop has it, and looks at every address. Processor time, both in turns. `also` has the other fields and dialects:
phone numbers and Google's rule for Gmail are looked at one by one, and cost what that costs.
"""

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from bench.claims import Result, spread
from vitrin.platforms.personal.model import Field
from vitrin.platforms.personal.rules import DIALECTS

ADDRESSES: Final = 200_000
ROUNDS: Final = 7
GOAL: Final = 0.70


def run() -> Result:
    emails = [f"Jane.Doe{number}@Example{number % 97}.com" for number in range(ADDRESSES)]
    phones = [f"+49 89 {number:08}" for number in range(ADDRESSES)]
    raw_emails = [email.lower().encode() for email in emails]
    raw_phones = [phone.replace(" ", "").encode() for phone in phones]
    ratios = {
        name: [
            _ratio(raw_emails, lambda d=name: DIALECTS[d].digests(Field.EMAIL, emails)) for _ in range(ROUNDS)
        ]
        for name in ("meta_events", "meta_audience", "pinterest", "google")
    }
    phone = [
        _ratio(raw_phones, lambda: DIALECTS["meta_events"].digests(Field.PHONE, phones)) for _ in range(3)
    ]
    worst = min(("meta_events", "meta_audience", "pinterest"), key=lambda name: spread(ratios[name])[0])
    median, low, high = spread(ratios[worst])
    return Result(
        id="P22",
        name="addresses hashed for an upload",
        value=median,
        goal=f">= {GOAL:.2f}",
        baseline="sha256().hexdigest() of finished bytes",
        met=median >= GOAL,
        min=low,
        max=high,
        rounds=ROUNDS,
        also={
            **{f"email_{name}": spread(found)[0] for name, found in ratios.items()},
            "phone_meta_events": spread(phone)[0],
        },
    )


def _ratio(raw: list[bytes], ours: Callable[[], list[str]]) -> float:
    begun = time.process_time()
    expected = [sha256(one).hexdigest() for one in raw]
    middle = time.process_time()
    found = ours()
    ended = time.process_time()
    if len(found) != len(expected):
        raise AssertionError("an address is missing")
    return (middle - begun) / (ended - middle)
