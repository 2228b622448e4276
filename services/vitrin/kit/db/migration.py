"""What migrations say of a table: whose rows a role may see. Used inside Alembic versions, by hand.

Three roles per service. The owner runs migrations only. The app role serves requests for one brand. The worker role
serves loops and consumers, whose transactions name a list of brands.
"""

from typing import Final, Literal

from alembic.operations import Operations

AppPolicy = Literal["brand", "none"]
WorkerPolicy = Literal["brands", "all", "none"]

OUTBOX_KEEP_DAYS: Final = 7
_APP_RULE: Final = "brand_id = nullif(current_setting('app.brand', true), '')::uuid"
_WORKER_RULE: Final = "brand_id in (select unnest(nullif(current_setting('app.brands', true), '')::uuid[]))"


def role(op: Operations, kind: Literal["app", "worker"]) -> str:
    """Role of the service whose database this is: its name without the database's own suffix."""
    database = op.get_bind().exec_driver_sql("select current_database()").scalar_one()
    return f"{database}_{kind}"


def brand_table(
    op: Operations,
    table: str,
    *,
    app: AppPolicy = "brand",
    worker: WorkerPolicy = "brands",
    app_privileges: str = "select, insert, update, delete",
    worker_privileges: str = "select, insert, update, delete",
) -> None:
    """Forced row-level security on a table with `brand_id`.

    app "brand": the one brand of the transaction. worker "brands": the brands of its batch; "all": every row (work
    queues only, where the loop has to find out which brands have work). "none": no access at all.
    """
    op.execute(f"alter table {table} enable row level security")
    op.execute(f"alter table {table} force row level security")
    _may_be_purged(op, table)
    if app == "brand":
        _policy(op, table, role(op, "app"), _APP_RULE, app_privileges)
    if worker == "brands":
        _policy(op, table, role(op, "worker"), _WORKER_RULE, worker_privileges)
    elif worker == "all":
        _policy(op, table, role(op, "worker"), "true", worker_privileges)


def _policy(op: Operations, table: str, role_name: str, rule: str, privileges: str) -> None:
    op.execute(f"create policy {role_name}_rows on {table} to {role_name} using ({rule}) with check ({rule})")
    op.execute(f"grant {privileges} on {table} to {role_name}")


def _may_be_purged(op: Operations, table: str) -> None:
    """For `vitrin_purge` alone (`install_purges`), which names the brand: the owner sees no other row."""
    op.execute(
        f"create policy purge on {table} to current_user"
        " using (brand_id = nullif(current_setting('app.purge', true), '')::uuid)"
    )


def install_purges(op: Operations) -> None:
    """What removes the rows of a brand that has left (`kit.brand_data.purge`). Tables made before `brand_table` knew of
    it may be purged from now on too."""
    op.execute(
        """
        create table brand_purges (
            brand_id uuid primary key,
            begun_at timestamptz not null,
            due_at timestamptz not null,
            passes integer not null default 0,
            counts jsonb not null,
            finished_at timestamptz
        )
        """
    )
    brand_table(op, "brand_purges", app="none", worker="all", worker_privileges="select, insert, update")
    unmarked = (
        "select t.relname from pg_class t join pg_attribute a on a.attrelid = t.oid and a.attname = 'brand_id'"
        " where t.relnamespace = 'public'::regnamespace and t.relkind in ('r', 'p') and not t.relispartition"
        " and not exists (select from pg_policy p where p.polrelid = t.oid and p.polname = 'purge')"
    )
    for (table,) in op.get_bind().exec_driver_sql(unmarked).fetchall():
        _may_be_purged(op, table)
    op.execute(_PURGE_FUNCTION)
    op.execute("revoke execute on function vitrin_purge from public")
    worker = role(op, "worker")
    op.execute(f"grant execute on function vitrin_purge to {worker}")
    replica = "select to_regclass('public.access_brands') is not null"
    if op.get_bind().exec_driver_sql(replica).scalar_one():
        op.execute(f"create policy {worker}_left on access_brands for select to {worker} using (deleted)")


_PURGE_FUNCTION: Final = """
create function vitrin_purge(target text, brand uuid, at_most integer) returns bigint
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    gone bigint;
begin
    perform set_config('app.purge', brand::text, true);
    if not exists (select from public.brand_purges where brand_id = brand and finished_at is null) then
        raise exception 'brand % has not left', brand;
    end if;
    -- A row of another partition may stand at the same place: it is the brand's too, and goes as well.
    execute format(
        'delete from public.%I where brand_id = $1 and ctid = any (array(select ctid from public.%I'
        ' where brand_id = $1 limit $2))', target, target) using brand, at_most;
    get diagnostics gone = row_count;
    perform set_config('app.purge', '', true);
    return gone;
end $$
"""


def plain_table(
    op: Operations,
    table: str,
    *,
    app: Literal["none", "read", "all"] = "none",
    worker: Literal["none", "read", "all"] = "all",
) -> None:
    """Grants of a table without a brand (offsets, leases)."""
    privileges = {"read": "select", "all": "select, insert, update, delete"}
    if app != "none":
        op.execute(f"grant {privileges[app]} on {table} to {role(op, 'app')}")
    if worker != "none":
        op.execute(f"grant {privileges[worker]} on {table} to {role(op, 'worker')}")


def install_outbox(op: Operations) -> None:
    """Outbox, its leases and what the relay knows of each topic's incarnation."""
    op.execute("create sequence outbox_id_seq")
    op.execute(f"grant usage on sequence outbox_id_seq to {role(op, 'app')}, {role(op, 'worker')}")
    op.execute(
        """
        create table outbox (
            id bigint not null default nextval('outbox_id_seq'),
            created_at timestamptz not null,
            shard smallint not null,
            brand_id uuid not null,
            topic text not null,
            events integer not null,
            payload bytea not null,
            sent_at timestamptz,
            sent_topic_id uuid,
            primary key (created_at, id)
        ) partition by range (created_at)
        """
    )
    op.execute("create index outbox_unsent on outbox (shard, id) where sent_at is null")
    brand_table(
        op, "outbox", worker="all", app_privileges="insert", worker_privileges="select, insert, update"
    )
    op.execute(
        """
        create table outbox_leases (
            shard smallint primary key,
            owner text not null default '',
            fence bigint not null default 0,
            expires_at timestamptz not null default '-infinity'
        )
        """
    )
    op.execute("insert into outbox_leases (shard) select generate_series(0, 7)")
    op.execute(
        """
        create table outbox_incarnations (
            shard smallint not null,
            topic text not null,
            topic_id uuid not null,
            seen_at timestamptz not null,
            primary key (shard, topic)
        )
        """
    )
    plain_table(op, "outbox_leases")
    plain_table(op, "outbox_incarnations")
    partition_by_day(op, "outbox", keep_days=OUTBOX_KEEP_DAYS)


def install_incarnations(op: Operations) -> None:
    """What the outbox knows beyond its rows: the marker of the last clean stop, how far each partition was written,
    and the jobs that publish a topic's whole state. An outbox without rows is a marker: nothing was sent before."""
    op.execute(
        """
        create table outbox_marker (
            one boolean primary key default true check (one),
            drained_at timestamptz not null,
            set_at timestamptz not null
        )
        """
    )
    op.execute(
        "insert into outbox_marker (drained_at, set_at) select case when exists (select from outbox)"
        " then timestamptz '-infinity' else now() - interval '1 hour' end, now()"
    )
    op.execute(
        """
        create table outbox_ends (
            topic text not null,
            topic_id uuid not null,
            partition integer not null,
            next_offset bigint not null,
            primary key (topic, topic_id, partition)
        )
        """
    )
    op.execute(
        """
        create table republish_jobs (
            id uuid primary key,
            topic text not null,
            topic_id uuid,
            reason text not null check (reason in ('asked', 'new_incarnation')),
            state text not null check (state in ('running', 'done')),
            at_brand uuid,
            position text,
            records bigint not null default 0,
            brands integer not null default 0,
            created_at timestamptz not null,
            updated_at timestamptz not null,
            finished_at timestamptz
        )
        """
    )
    op.execute(
        "create unique index republish_one_per_topic on republish_jobs (topic) where state = 'running'"
    )
    op.execute("create index republish_jobs_by_topic on republish_jobs (topic, created_at)")
    plain_table(op, "outbox_marker")
    plain_table(op, "outbox_ends")
    plain_table(op, "republish_jobs")


def install_snapshots(op: Operations) -> None:
    """How far each consumer group is with the snapshot of each of its topics. A group without a row starts one."""
    op.execute(
        """
        create table consumer_snapshots (
            consumer_group text not null,
            topic text not null,
            state text not null check (state in ('wanted', 'done')),
            reason text not null,
            round integer not null default 1,
            cursor text not null default '',
            records bigint not null default 0,
            claimed_by uuid,
            claimed_until timestamptz not null default '-infinity',
            wanted_at timestamptz not null,
            updated_at timestamptz not null,
            finished_at timestamptz,
            primary key (consumer_group, topic)
        )
        """
    )
    plain_table(op, "consumer_snapshots")


def install_consumer(op: Operations) -> None:
    """Where each consumer group stands, and the messages that no repetition can make right."""
    op.execute(
        """
        create table consumer_offsets (
            consumer_group text not null,
            topic text not null,
            topic_id uuid not null,
            partition integer not null,
            next_offset bigint not null,
            updated_at timestamptz not null,
            primary key (consumer_group, topic, topic_id, partition)
        )
        """
    )
    op.execute(
        """
        create table dead_letters (
            id uuid primary key,
            consumer_group text not null,
            topic text not null,
            topic_id uuid not null,
            partition integer not null,
            record_offset bigint not null,
            key text,
            headers jsonb not null,
            payload bytea,
            reason text not null,
            created_at timestamptz not null,
            unique (consumer_group, topic_id, partition, record_offset)
        )
        """
    )
    op.execute("create index dead_letters_by_group on dead_letters (consumer_group, created_at)")
    op.execute("create table consumer_ends (consumer_group text primary key, at_end_at timestamptz not null)")
    plain_table(op, "consumer_offsets")
    plain_table(op, "dead_letters")
    plain_table(op, "consumer_ends", app="read")


def install_parking(op: Operations) -> None:
    """Messages that wait for something, and what an operator may do with dead letters. After `install_consumer`."""
    op.execute(
        """
        create table parked_messages (
            position bigint generated always as identity primary key,
            id uuid not null unique,
            consumer_group text not null,
            topic text not null,
            topic_id uuid not null,
            partition integer not null,
            record_offset bigint not null,
            key text collate "C" not null,
            brand_id uuid not null,
            event_id uuid not null,
            event_type text not null,
            headers jsonb not null,
            payload bytea not null,
            reason text not null,
            tries integer not null default 0,
            parked_at timestamptz not null,
            due_at timestamptz not null,
            unique (consumer_group, topic_id, partition, record_offset),
            unique (consumer_group, topic, event_id)
        )
        """
    )
    op.execute(
        "create unique index parked_messages_by_key on parked_messages (consumer_group, topic, key, position)"
    )
    brand_table(op, "parked_messages", app="none", worker="all")
    op.execute(
        """
        alter table dead_letters
            add column brand_id uuid,
            add column event_type text not null default '',
            add column state text not null default 'dead'
                check (state in ('dead', 'replaying', 'replayed', 'dropped')),
            add column tries integer not null default 0,
            add column due_at timestamptz,
            add column outcome text not null default '',
            add column changed_at timestamptz,
            add column changed_by text not null default ''
        """
    )
    op.execute(
        """
        update dead_letters set
            brand_id = case when headers ->> 'brand' ~ '^[0-9a-f]{32}$' then (headers ->> 'brand')::uuid end,
            event_type = coalesce(headers ->> 'type', '')
        """
    )
    op.execute("create index dead_letters_by_age on dead_letters (created_at, id)")
    op.execute(
        "create index dead_letters_replaying on dead_letters (consumer_group, topic, key, created_at)"
        " where state = 'replaying'"
    )
    brand_table(op, "dead_letters", app="none", worker="all")


def partition_by_day(op: Operations, table: str, *, keep_days: int) -> None:
    """Register a table partitioned by range of a timestamptz: days are made ahead and dropped when older than
    `keep_days` by `vitrin_partitions()`, which the owner's rights carry out for whoever calls it."""
    install_partitions(op)
    op.execute(f"insert into day_partitions (table_name, keep_days) values ('{table}', {keep_days})")
    op.execute("select vitrin_partitions(now())")


def install_partitions(op: Operations) -> None:
    """The registry of day-partitioned tables and the function that keeps them; harmless when repeated."""
    op.execute(
        "create table if not exists day_partitions (table_name text primary key, keep_days integer not null)"
    )
    op.execute(_PARTITION_FUNCTION)
    op.execute(f"grant execute on function vitrin_partitions to {role(op, 'app')}, {role(op, 'worker')}")


PARTITION_DAYS_AHEAD: Final = 7

_PARTITION_FUNCTION: Final = f"""
create or replace function vitrin_partitions(moment timestamptz) returns integer
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    entry record;
    part record;
    first_day date := (moment at time zone 'UTC')::date;
    day date;
    name text;
    changed integer := 0;
begin
    if not pg_try_advisory_xact_lock(hashtext('vitrin_partitions')) then
        return 0;
    end if;
    for entry in select table_name, keep_days from public.day_partitions loop
        for day in select generate_series(first_day - 1, first_day + {PARTITION_DAYS_AHEAD}, '1 day')::date loop
            name := entry.table_name || '_p' || to_char(day, 'YYYYMMDD');
            if to_regclass('public.' || quote_ident(name)) is null then
                execute format('create table public.%I (like public.%I including all)', name, entry.table_name);
                execute format(
                    'alter table public.%I attach partition public.%I for values from (%L) to (%L)',
                    entry.table_name, name,
                    to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(day + 1, 'YYYY-MM-DD') || ' 00:00:00+00');
                changed := changed + 1;
            end if;
        end loop;
        for part in
            select child.relname from pg_inherits
            join pg_class child on child.oid = inhrelid join pg_class parent on parent.oid = inhparent
            where parent.relname = entry.table_name
              and right(child.relname, 8) < to_char(first_day - entry.keep_days, 'YYYYMMDD')
        loop
            execute format('drop table public.%I', part.relname);
            changed := changed + 1;
        end loop;
    end loop;
    return changed;
end $$
"""
