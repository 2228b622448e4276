"""The parts that keep and end the keys of personal data, from the settings."""

from datetime import timedelta

from vitrin.accounts.domain_seal import SealRules
from vitrin.accounts.seal_loop import SealLoop
from vitrin.accounts.service_offboarding import Offboarding
from vitrin.accounts.service_seal import SealKeys
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import TokenCipher
from vitrin.kit.db.database import AppDatabase, WorkerDatabase


def seal_keys(settings: AccountsSettings, database: AppDatabase, clock: Clock) -> SealKeys:
    """Raises KeyRingInvalid."""
    return SealKeys(database, clock, _ring(settings), _rules(settings))


def seal_loop(
    settings: AccountsSettings, database: AppDatabase, worker: WorkerDatabase, clock: Clock
) -> SealLoop:
    """Raises KeyRingInvalid."""
    return SealLoop(worker, seal_keys(settings, database, clock), _ring(settings).current, clock)


def offboarding(settings: AccountsSettings, database: AppDatabase, clock: Clock) -> Offboarding:
    """Raises KeyRingInvalid."""
    grace = timedelta(days=settings.secrets.offboard_grace_days)
    return Offboarding(database, clock, grace=grace, seal=seal_keys(settings, database, clock))


def _ring(settings: AccountsSettings) -> TokenCipher:
    return TokenCipher.parse(settings.secrets.token_keys.get_secret_value())


def _rules(settings: AccountsSettings) -> SealRules:
    secrets = settings.secrets
    return SealRules(
        lease=timedelta(seconds=secrets.seal_lease_s),
        day_kept=timedelta(days=secrets.seal_day_keep_days),
        backup_kept=timedelta(days=secrets.seal_backup_keep_days),
    )
