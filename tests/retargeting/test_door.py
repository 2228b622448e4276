"""What the door takes and refuses, event by event."""

import httpx

from tests.retargeting.house import House, event, send, until


async def test_events_are_accepted_carried_and_stored(house: House, door: httpx.AsyncClient) -> None:
    key = await house.new_key()
    answer = await send(door, key, *(event(number) for number in range(20)))
    assert (answer.status_code, answer.json()) == (
        200,
        {"accepted": 20, "duplicate": 0, "refused": 0, "results": ["accepted"] * 20, "problems": []},
    )
    async with house.consumer():
        stored = await until(house.stored, lambda seen: len(seen) == 20)
    assert set(stored) == {f"e-{number}" for number in range(20)}
