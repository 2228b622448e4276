"""The log on its files, without threads or waiting: append a batch, read from a position, recover, trim.

Durable is what stands before a segment's `size`: it was synced. At most one batch is written at a time, so behind it
there is at most one torn batch after a crash.

Recovery looks at the last segment only. What follows its last whole record was never acknowledged: it is cut off, and
reported. Where whole records follow a broken one, that may be damage: nothing is cut, the segment is closed, the reader
steps over the broken bytes and counts them, and the file is kept as `.damaged` when its turn is over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from vitrin.kit.logs import get_logger
from vitrin.kit.spool import layout
from vitrin.kit.spool.errors import PositionGone, PositionUnknown, SpoolFailing
from vitrin.kit.spool.files import AppendFile, SpoolFiles
from vitrin.kit.spool.layout import RECORD_HEAD_BYTES, SEGMENT_HEAD_BYTES, Record

_log = get_logger("vitrin.spool")
MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolLimits:
    """Bytes and seconds. What is full is refused, never dropped."""

    record_bytes_max: int = MEBIBYTE
    batch_bytes_max: int = 4 * MEBIBYTE
    """What one sync makes durable."""
    pending_bytes_max: int = 16 * MEBIBYTE
    """What may wait for its sync in memory."""
    segment_bytes_max: int = 64 * MEBIBYTE
    segment_s_max: float = 600.0
    """After this a segment is closed, so that a quiet spool forgets too."""
    total_bytes_max: int = 1024 * MEBIBYTE
    keep_s: float = 600.0
    """Records are kept for so long although all consumers have passed them."""
    append_s: float = 3.0
    """Longest wait for a sync: a platform gives up on a webhook after 5 s."""

    def __post_init__(self) -> None:
        if not self.record_bytes_max + RECORD_HEAD_BYTES <= self.batch_bytes_max <= self.segment_bytes_max:
            raise ValueError("a record must fit into a batch, and a batch into a segment")
        if 2 * self.segment_bytes_max > self.total_bytes_max:
            raise ValueError("two segments must fit into the whole: the last one is never trimmed")


@dataclass(slots=True)
class Segment:
    base: int
    size: int
    """Durable bytes."""
    first_at_ms: int | None = None
    damaged: bool = False

    @property
    def name(self) -> str:
        return layout.segment_name(self.base)

    @property
    def end(self) -> int:
        return self.base + self.size


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening found. `cut_bytes` were never acknowledged."""

    segments: int = 0
    bytes: int = 0
    cut_bytes: int = 0
    damaged: tuple[str, ...] = ()
    lost_positions: tuple[str, ...] = ()
    """Consumers whose position could not be read: they begin with what is there."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in order, and the position to go on from. `skipped_bytes` were damaged."""

    records: Sequence[Record] = field(default=())
    end: int = 0
    skipped_bytes: int = 0


class SegmentLog:
    """One thread at a time may append, trim and commit; another may read meanwhile."""

    def __init__(
        self, files: SpoolFiles, *, consumers: Sequence[str], limits: SpoolLimits, now_ms: Callable[[], int]
    ) -> None:
        self._files = files
        self._limits = limits
        self._now_ms = now_ms
        self._consumers = tuple(consumers)
        self._segments: tuple[Segment, ...] = ()
        self._file: AppendFile | None = None
        self._unclean = False
        self._to_begin: int | None = None
        self.positions: dict[str, int] = {}
        """As they are on the disk."""
        self.passed: dict[str, int] = {}
        """What consumers have said; ahead of the disk's while it takes none."""

    @property
    def earliest(self) -> int:
        return self._segments[0].base

    @property
    def end(self) -> int:
        return self._segments[-1].end

    @property
    def end_of_records(self) -> int:
        """Where whoever has passed everything stands at least; `end` is behind the head of a new segment."""
        active = self._segments[-1]
        return active.base if active.size <= SEGMENT_HEAD_BYTES else active.end

    @property
    def total_bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    def open(self) -> Recovery:
        """Raises SpoolInUse, OSError."""
        self._files.lock()
        names = self._files.names()
        for name in names:
            if name.endswith(".new"):
                self._files.remove(name)
        bases = sorted(base for base in map(layout.base_of, names) if base is not None)
        segments = [Segment(base, self._files.size(layout.segment_name(base))) for base in bases]
        damaged, cut_bytes = [], 0
        if segments:
            cut_bytes = self._recover(segments[-1])
            if segments[-1].size == 0:
                self._files.remove(segments.pop().name)
            elif segments[-1].damaged:
                damaged.append(segments[-1].name)
        if segments and segments[-1].first_at_ms is None and not segments[-1].damaged:
            segments[-1].first_at_ms = self._first_at_ms(segments[-1])
        end = segments[-1].end if segments else max(bases, default=0)
        self._segments = tuple(segments)
        if segments:
            # Whole records of a process that was killed before its sync count from now on, and so does their file.
            self._file = self._files.append_to(segments[-1].name)
            self._file.sync()
            self._files.sync_names()
        if not segments or segments[-1].damaged:
            self._begin(end)
        lost = self._read_positions()
        found = Recovery(len(self._segments), self.total_bytes, cut_bytes, tuple(damaged), lost)
        if cut_bytes or damaged or lost:
            _log.warning("spool_recovered", cut_bytes=cut_bytes, damaged=damaged, lost_positions=lost)
        return found

    def _recover(self, segment: Segment) -> int:
        """Cuts what is behind the last whole record. Returns the bytes that were cut."""
        data = self._files.read(segment.name, 0, segment.size)
        if not layout.is_segment_head(data, segment.base):
            # Its head is synced before its first record: without one there are none, unless it was damaged later.
            if layout.next_record(data, 0, segment.base) is not None:
                segment.damaged = True
                return 0
            segment.size = 0
            return len(data)
        offset = SEGMENT_HEAD_BYTES
        while (record := layout.record_at(data, offset, segment.base + offset)) is not None:
            segment.first_at_ms = segment.first_at_ms or record.at_ms
            offset = record.end - segment.base
        cut = len(data) - offset
        if cut and layout.next_record(data, offset + 1, segment.base + offset + 1) is not None:
            segment.damaged = True
            return 0
        if cut:
            segment.size = offset
            file = self._files.append_to(segment.name)
            try:
                file.truncate(offset)
                file.sync()
            finally:
                file.close()
        return cut

    def _first_at_ms(self, segment: Segment) -> int | None:
        length = RECORD_HEAD_BYTES + self._limits.record_bytes_max
        data = self._files.read(segment.name, SEGMENT_HEAD_BYTES, length)
        record = layout.record_at(data, 0, segment.base + SEGMENT_HEAD_BYTES)
        return None if record is None else record.at_ms

    def _read_positions(self) -> tuple[str, ...]:
        lost, names = [], set(self._files.names())
        for consumer in self._consumers:
            name = consumer + layout.POSITION_SUFFIX
            position = layout.position_in(self._files.read(name, 0, 64)) if name in names else self.earliest
            if position is None or position > self.end:
                lost.append(consumer)
                position = self.earliest
            self.positions[consumer] = max(position, self.earliest)
        self.passed = dict(self.positions)
        return tuple(lost)

    def _begin(self, base: int) -> None:
        """A new segment, durable by name and head before anything is written to it. Once begun it has to be finished:
        the one before must not grow over the first position of a file that may be there."""
        self._to_begin = base
        if self._file is not None:
            self._file.close()
            self._file = None
        file = self._files.append_to(layout.segment_name(base))
        try:
            file.truncate(0)
            file.write(layout.segment_head(base))
            file.sync()
            self._files.sync_names()
        except OSError:
            file.close()
            raise
        self._file, self._unclean, self._to_begin = file, False, None
        self._segments = (*self._segments, Segment(base, SEGMENT_HEAD_BYTES))

    def append(self, payloads: Sequence[tuple[int, bytes]]) -> list[int]:
        """One write and one sync for all of them, (moment in ms, payload); durable when it returns their ends.

        Raises SpoolFailing: then none of them counts, and whatever reached the disk is cut before the next one.
        """
        try:
            self._make_room(sum(len(payload) + RECORD_HEAD_BYTES for _, payload in payloads))
            return self._write(payloads)
        except OSError as error:
            self._unclean = True
            _log.error("spool_append_failed", reason=str(error))
            raise SpoolFailing("the disk does not take what was sent") from error

    def _make_room(self, size: int) -> None:
        """Afterwards the last segment is clean and takes so many bytes."""
        if self._to_begin is not None:
            self._begin(self._to_begin)
            return
        self._repair()
        if self._active.size + size > self._limits.segment_bytes_max:
            self._begin(self._active.end)

    @property
    def _active(self) -> Segment:
        return self._segments[-1]

    def _repair(self) -> None:
        """After a failed write or sync: back to what was durable, durably. Without it the batch that failed might be
        followed by one that is acknowledged, and recovery would take the failed one for damage."""
        if not self._unclean:
            return
        if self._file is not None:
            self._file.close()
            self._file = None
        file = self._files.append_to(self._active.name)
        try:
            file.truncate(self._active.size)
            file.sync()
        except OSError:
            file.close()
            raise
        self._file = file
        self._unclean = False

    def _write(self, payloads: Sequence[tuple[int, bytes]]) -> list[int]:
        active, parts, ends = self._active, [], []
        position = active.end
        for at_ms, payload in payloads:
            part = layout.record_bytes(position, at_ms, payload)
            position += len(part)
            parts.append(part)
            ends.append(position)
        assert self._file is not None
        self._file.write(b"".join(parts))
        self._file.sync()
        active.first_at_ms = active.first_at_ms or payloads[0][0]
        active.size = position - active.base
        return ends

    def read(self, position: int, *, records_max: int, bytes_max: int) -> Batch:
        """Durable records from `position` on, at least one where there is one. Raises PositionGone, PositionUnknown,
        OSError."""
        segments = self._segments
        if position < segments[0].base:
            raise PositionGone(position, segments[0].base)
        if position > segments[-1].end:
            raise PositionUnknown(f"position {position} is behind the end, {segments[-1].end}")
        skipped = 0
        for segment in segments:
            if segment.end <= position:
                continue
            begin = max(position, segment.base)
            try:
                batch = self._read_segment(segment, begin, records_max=records_max, bytes_max=bytes_max)
            except FileNotFoundError:
                raise PositionGone(position, self.earliest) from None
            skipped += batch.skipped_bytes
            position = batch.end
            if batch.records:
                return Batch(batch.records, batch.end, skipped)
        return Batch((), position, skipped)

    def _read_segment(self, segment: Segment, position: int, *, records_max: int, bytes_max: int) -> Batch:
        end, skipped, records, taken = segment.end, 0, list[Record](), 0
        block_bytes = max(bytes_max, self._limits.record_bytes_max) + RECORD_HEAD_BYTES
        position = max(position, segment.base + SEGMENT_HEAD_BYTES)
        data, start = b"", position
        while position < end and len(records) < records_max and taken < bytes_max:
            record = layout.record_at(data, position - start, position)
            if record is None:
                start, data = position, self._files.read(segment.name, position - segment.base, block_bytes)
                data = data[: end - position]
                record = layout.record_at(data, 0, position)
            if record is None:
                if records:
                    break
                position, stepped = self._step_over(segment, position)
                skipped += stepped
                continue
            records.append(record)
            taken += len(record.payload)
            position = record.end
        return Batch(records, position, skipped)

    def _step_over(self, segment: Segment, position: int) -> tuple[int, int]:
        """From a broken record to the next whole one, or as far as none can begin. Returns where that is, and the bytes
        that were stepped over."""
        longest = self._limits.record_bytes_max + RECORD_HEAD_BYTES
        rest = segment.end - position
        data = self._files.read(segment.name, position - segment.base, min(rest, 2 * longest))
        found = layout.next_record(data, 1, position + 1)
        none_before = segment.end if rest <= 2 * longest else position + longest
        target = none_before if found is None else found.position
        segment.damaged = True
        _log.error("spool_damaged", segment=segment.name, position=position, bytes=target - position)
        return target, target - position

    def commit(self, consumer: str, position: int) -> None:
        """Durable when it returns. Raises PositionUnknown, OSError; after the latter it counts all the same, but for a
        restart, and `tidy` tries again."""
        if not self.earliest <= position <= self.end:
            raise PositionUnknown(f"position {position} is not between {self.earliest} and {self.end}")
        self.passed[consumer] = position
        self._keep(consumer, position)

    def _keep(self, consumer: str, position: int) -> None:
        self._files.replace(consumer + layout.POSITION_SUFFIX, layout.position_bytes(position))
        self.positions[consumer] = position

    def tidy(self) -> int:
        """Removes segments that all consumers have passed and that are old enough, keeps positions that the disk did
        not take, closes a segment that has its age. Returns the bytes that were freed. Raises OSError.

        Removing comes first, by what consumers have said and not by what of it could be written: on a full disk it
        makes the room that the rest needs, and after a restart a position is never before the earliest record."""
        freed = self._remove()
        try:
            for consumer, position in self.passed.items():
                if position != self.positions[consumer]:
                    self._keep(consumer, position)
            self._close_aged()
            freed += self._remove()
        except OSError as error:
            if not freed:
                raise
            _log.error("spool_tidy_incomplete", reason=str(error), freed=freed)
        return freed

    def _remove(self) -> int:
        now_ms, freed = self._now_ms(), 0
        covered = min(self.passed.values(), default=self.end)
        while len(self._segments) > 1 and self._segments[0].end <= covered:
            oldest = self._segments[0]
            if now_ms / 1000 - self._files.modified_at_s(oldest.name) < self._limits.keep_s:
                break
            self._segments = self._segments[1:]
            if oldest.damaged:
                self._files.rename(oldest.name, oldest.name + layout.DAMAGED_SUFFIX)
            else:
                self._files.remove(oldest.name)
            freed += oldest.size
        return freed

    def _close_aged(self) -> None:
        begun_at_ms = self._active.first_at_ms
        if begun_at_ms is not None and self._now_ms() - begun_at_ms >= self._limits.segment_s_max * 1000:
            self._make_room(self._limits.segment_bytes_max)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._files.close()
