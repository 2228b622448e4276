"""Everything one sandbox holds: platforms, accounts, faults and log. Built once per application."""

from dataclasses import dataclass

from vitrin.sandbox.accounts import Account, AccountBook
from vitrin.sandbox.faults import FaultBook
from vitrin.sandbox.meta.platform import MetaPlatform
from vitrin.sandbox.pinterest.platform import PinterestPlatform
from vitrin.sandbox.request_log import RequestLog
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.timing import Clock, epoch_ms
from vitrin.sandbox.wire import Platform


@dataclass(slots=True)
class World:
    """The parts that the doors share."""

    settings: SandboxSettings
    clock: Clock
    accounts: AccountBook
    platforms: dict[str, Platform]
    faults: FaultBook
    log: RequestLog

    def now_ms(self) -> int:
        """The clock's time in milliseconds since 1970."""
        return epoch_ms(self.clock)

    def open_account(self, platform: str, *, has_feed: bool = False) -> Account:
        """Create the platform's next account with its empty catalog."""
        account = self.accounts.add(platform, has_feed=has_feed)
        self.platforms[platform].open_account(account)
        return account

    def settle(self) -> None:
        """Carry out every batch that is due."""
        now_ms = self.now_ms()
        for platform in self.platforms.values():
            platform.settle(now_ms=now_ms)


def build_world(settings: SandboxSettings, *, clock: Clock) -> World:
    """A world with one ready account per platform."""
    accounts = AccountBook()

    def now_ms() -> int:
        return epoch_ms(clock)

    platforms: dict[str, Platform] = {
        "meta": MetaPlatform(settings=settings, accounts=accounts, now_ms=now_ms),
        "pinterest": PinterestPlatform(settings=settings, accounts=accounts, now_ms=now_ms),
    }
    world = World(
        settings=settings,
        clock=clock,
        accounts=accounts,
        platforms=platforms,
        faults=FaultBook(faults_max=settings.faults_max),
        log=RequestLog(entries_max=settings.log_entries_max),
    )
    for name in platforms:
        world.open_account(name)
    return world
