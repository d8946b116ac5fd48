"""The part of a site file that is about time and trust: schedules, retention (R-4), policies."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from lc2_backup_dagster.engines.files.verify.sampling import SampleUnit
from lc2_backup_dagster.sites.values import Count, Cron, Positive, Share, SlotName, Strict, Zone


class Schedule(Strict):
    """When one kind of run starts."""

    cron: Cron = Field(description="Five-field cron expression, read in `timeZone`.")
    time_zone: Zone = Field(default="UTC", description="IANA name of the time zone.")
    enabled: StrictBool = Field(default=True, description="Whether the schedule starts runs.")


class DatabaseSchedule(Schedule):
    """When the database is backed up physically."""

    cron: Cron = Field(default="0 * * * *", description="Five-field cron expression, read in `timeZone`.")


class DailySchedule(Schedule):
    """When dump, files and recovery point are made."""

    cron: Cron = Field(default="0 2 * * *", description="Five-field cron expression, read in `timeZone`.")


class VerificationSchedule(Schedule):
    """When stored files are verified."""

    cron: Cron = Field(default="0 5 * * *", description="Five-field cron expression, read in `timeZone`.")


class Schedules(Strict):
    """When backups are made."""

    database: DatabaseSchedule = Field(default=DatabaseSchedule(), description="The run that holds `database`.")
    daily: DailySchedule = Field(
        default=DailySchedule(), description="The run that holds dump, files, configuration and recovery point."
    )
    verification: VerificationSchedule = Field(
        default=VerificationSchedule(), description="The run that reads stored files back."
    )


class Compliance(Strict):
    """Long retention that the law asks for."""

    enabled: StrictBool = Field(default=False, description="Whether compliance points are kept.")
    period: Positive = Field(default=2555, description="Days they are kept.")


class Retention(Strict):
    """How many backups are kept."""

    daily: Positive = Field(default=7, description="Days kept, and days any moment of which can be restored.")
    weekly: Count = Field(default=4, description="Weekly recovery points kept beyond that.")
    monthly: Count = Field(default=12, description="Monthly recovery points kept beyond that.")
    compliance: Compliance = Field(default=Compliance(), description="Long retention that the law asks for.")


class Freshness(Strict):
    """How old the newest backup may be."""

    database_rpo_minutes: Positive = Field(default=120, description="Oldest allowed newest moment of the database.")
    daily_rpo_minutes: Positive = Field(default=1800, description="Oldest allowed newest dump, files, recovery point.")
    wal_rpo_minutes: Positive = Field(
        default=5, description="How far what archived WAL can restore may lie behind the present."
    )


class WalArchiving(Strict):
    """WAL received all the time by `lc2-backup wal-receive`: any moment can be restored, seconds behind the present."""

    enabled: StrictBool = Field(
        default=False, description="Whether a receiver streams WAL of this site into the repository."
    )
    slot: SlotName | None = Field(
        default=None, description="Name of the physical replication slot; `lc2_` and the site's name when absent."
    )
    partial_seconds: Annotated[Positive, Field(le=3600)] = Field(
        default=10, description="Longest time received WAL waits before it is in the repository."
    )
    slot_lag_alarm_bytes: Annotated[Positive, Field(ge=16 * 1024 * 1024)] = Field(
        default=4 * 1024 * 1024 * 1024,
        description="WAL that the slot may hold back on the server's disk before somebody is woken.",
    )


class Chains(Strict):
    """When a database backup stands on an earlier one, and when a new full backup is due."""

    incremental: StrictBool = Field(
        default=True,
        description="Whether increments are taken where the server can (PostgreSQL 17 and newer with summarize_wal).",
    )
    max_length: Annotated[Positive, Field(le=1000)] = Field(
        default=24, description="Most increments behind one full backup."
    )
    max_age_hours: Annotated[Positive, Field(le=24 * 366)] = Field(
        default=168, description="Oldest full backup that increments, or archived WAL, may still stand on."
    )


class VerificationSample(Strict):
    """Damage that a random sample of stored files shall find."""

    damaged_percent: Annotated[float, Field(ge=0.01, le=50, strict=True, allow_inf_nan=False)] = Field(
        default=1.0, description="Smallest damage, in per cent, that is found."
    )
    confidence_percent: Annotated[float, Field(ge=50, le=99.99, strict=True, allow_inf_nan=False)] = Field(
        default=95.0, description="The probability, in per cent, with which it is found."
    )
    unit: SampleUnit = Field(
        default=SampleUnit.OBJECTS, description="What is damaged: `objects`, or `bytes` that lie in damaged objects."
    )


class Verification(Strict):
    """How stored files are verified after they were captured."""

    max_age_days: Annotated[Positive, Field(ge=3, le=3660)] | None = Field(
        default=30,
        description="Longest time that no stored file stays unread; the scheduled run reads what would exceed it. "
        "`null`: it reads a random sample.",
    )
    max_bytes_per_run: Positive | None = Field(
        default=None, description="Bytes after which a run begins no further file; no limit when absent."
    )
    sample: VerificationSample = Field(
        default=VerificationSample(), description="Damage that a random sample of stored files shall find."
    )


class Policies(Strict):
    """What is checked, and when somebody is woken."""

    read_back: Literal["all", "sample"] = Field(
        default="all", description="How much of what was written is read back and decoded before the commit."
    )
    suspicious_change_ratio: Annotated[float, Field(gt=0, le=100, strict=True, allow_inf_nan=False)] = Field(
        default=0.5, description="Change of size against the site's history beyond which a check warns."
    )
    dangling_rows_limit_share: Share = Field(
        default=0.01,
        description="Share of rows that may name a missing file before the recovery point is refused, and before a "
        "restore removes no orphans.",
    )
    freshness: Freshness = Field(default=Freshness(), description="How old the newest backup may be.")
    verification: Verification = Field(
        default=Verification(), description="How stored files are verified after they were captured."
    )
    chains: Chains = Field(default=Chains(), description="When a backup of the database stands on an earlier one.")
    max_run_seconds: Annotated[Positive, Field(ge=60)] = Field(
        default=86400, description="Longest a run may take before it is ended, so that the next one can start."
    )
