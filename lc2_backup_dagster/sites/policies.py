"""The part of a site file that is about time and trust: schedules, retention (R-4), policies."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from lc2_backup_dagster.sites.values import Count, Cron, Positive, Share, Strict, Zone


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


class Schedules(Strict):
    """When backups are made."""

    database: DatabaseSchedule = Field(default=DatabaseSchedule(), description="The run that holds `database`.")
    daily: DailySchedule = Field(
        default=DailySchedule(), description="The run that holds dump, files, configuration and recovery point."
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


class Policies(Strict):
    """What is checked, and when somebody is woken."""

    read_back: Literal["all", "sample"] = Field(
        default="all", description="How much of what was written is read back and decoded before the commit."
    )
    suspicious_change_ratio: Annotated[float, Field(gt=0, le=100, strict=True, allow_inf_nan=False)] = Field(
        default=0.5, description="Change of size against the site's history beyond which a check warns."
    )
    dangling_rows_limit_share: Share = Field(
        default=0.01, description="Share of rows that may name a missing file before the recovery point is refused."
    )
    freshness: Freshness = Field(default=Freshness(), description="How old the newest backup may be.")
    max_run_seconds: Annotated[Positive, Field(ge=60)] = Field(
        default=86400, description="Longest a run may take before it is ended, so that the next one can start."
    )
