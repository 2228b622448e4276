"""Everything one sandbox holds: platforms, accounts, faults and log. Built once per application."""

from dataclasses import dataclass

from vitrin.sandbox.accounts import Account, AccountBook, TokenState
from vitrin.sandbox.changes import Changes
from vitrin.sandbox.fault_book import FaultBook
from vitrin.sandbox.grants import GrantBook
from vitrin.sandbox.meta.platform import MetaPlatform
from vitrin.sandbox.pinterest.platform import PinterestPlatform
from vitrin.sandbox.request_log import RequestLog
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.shops.street import Street, build_street
from vitrin.sandbox.timing import Clock, epoch_ms
from vitrin.sandbox.wire import Door, Platform


@dataclass(slots=True)
class World:
    """The parts that the doors share."""

    settings: SandboxSettings
    clock: Clock
    accounts: AccountBook
    platforms: dict[str, Platform]
    faults: FaultBook
    log: RequestLog
    changes: Changes
    grants: GrantBook
    street: Street

    def now_ms(self) -> int:
        """The clock's time in milliseconds since 1970."""
        return epoch_ms(self.clock)

    def doors(self) -> dict[str, Door]:
        """Everybody who answers, by name: platforms and kinds of shops."""
        return {**self.platforms, **self.street.doors}

    def open_account(self, platform: str, *, has_feed: bool = False) -> Account:
        """Create the platform's next account with its empty catalog."""
        account = self.accounts.add(platform, has_feed=has_feed)
        self.platforms[platform].open_account(account)
        return account

    def open_first_accounts(self) -> None:
        """Give every platform that has no account its first one."""
        for name in self.platforms:
            if not self.accounts.by_platform[name]:
                self.open_account(name)

    def set_token(self, account: Account, state: TokenState) -> None:
        """Change what the platform thinks of the account's token."""
        account.token_state = state
        self.changes.note()

    def keep_histories(self) -> None:
        """Let every catalog remember as much as stale reads need, and forget it when none do.

        What was accepted before is carried out first, else it would look like a change of now.
        """
        self.settle()
        now_ms = self.now_ms()
        for name, platform in self.platforms.items():
            stale_ms = self.faults.stale_ms(name, now_ms=now_ms)
            for catalog in platform.catalogs.values():
                catalog.keep_history(for_ms=stale_ms)

    def settle(self) -> None:
        """Carry out every batch that is due."""
        now_ms = self.now_ms()
        for platform in self.platforms.values():
            platform.settle(now_ms=now_ms)


def build_world(settings: SandboxSettings, *, clock: Clock) -> World:
    """A world with one ready account per platform."""
    world = empty_world(settings, clock=clock)
    world.open_first_accounts()
    return world


def empty_world(settings: SandboxSettings, *, clock: Clock) -> World:
    """A world without accounts."""
    accounts = AccountBook()
    changes = Changes()

    def now_ms() -> int:
        return epoch_ms(clock)

    grants = GrantBook(changes)
    accounts.consented = lambda platform, token: grants.account_of(platform, token, now_ms=now_ms())
    platforms: dict[str, Platform] = {
        "meta": MetaPlatform(
            settings=settings, accounts=accounts, grants=grants, changes=changes, now_ms=now_ms
        ),
        "pinterest": PinterestPlatform(
            settings=settings, accounts=accounts, grants=grants, changes=changes, now_ms=now_ms
        ),
    }
    return World(
        settings=settings,
        clock=clock,
        accounts=accounts,
        platforms=platforms,
        faults=FaultBook(faults_max=settings.faults_max),
        log=RequestLog(entries_max=settings.log_entries_max),
        changes=changes,
        grants=grants,
        street=build_street(settings, grants=grants, changes=changes, now_ms=now_ms),
    )
