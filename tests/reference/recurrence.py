#!/usr/bin/env python3
"""Writes tests/reference/recurrence.json: when recurring events begin, by python-dateutil over the wall clock of a zone.

Times that never come (clocks go ahead) are read by the clock of before, those that come twice are the first (RFC 5545, 3.3.5). The rules are those
of RFC 5545's own examples and what calendars in use say; the zones have different ideas of when clocks change, one by half an hour, one by a whole day.
Versions are in the file.
"""
import json
import platform
import random
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import dateutil
from dateutil.rrule import rrulestr

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata", "America/Sao_Paulo"]
# Each with a limit of its own, so that the file stays small.
RULES = [
    "FREQ=DAILY;COUNT=40",
    "FREQ=DAILY;INTERVAL=3;COUNT=40",
    "FREQ=DAILY;UNTIL=20110110T000000Z",
    "FREQ=WEEKLY;BYDAY=SU;COUNT=30",
    "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=TU,TH;COUNT=30",
    "FREQ=WEEKLY;INTERVAL=2;WKST=MO;BYDAY=TU,SU;COUNT=30",
    "FREQ=MONTHLY;BYDAY=1FR;COUNT=20",
    "FREQ=MONTHLY;BYDAY=-1SU;COUNT=20",
    "FREQ=MONTHLY;INTERVAL=2;BYDAY=1SU,-1SU;COUNT=20",
    "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=20",
    "FREQ=MONTHLY;BYMONTHDAY=31;COUNT=12",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2;COUNT=20",
    "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13;COUNT=8",
    "FREQ=YEARLY;BYMONTH=6,7;COUNT=12",
    "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;COUNT=12",
    "FREQ=YEARLY;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8;COUNT=6",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;COUNT=8",
    "FREQ=YEARLY;BYYEARDAY=1,100,-1;COUNT=12",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;COUNT=5",
    "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8;COUNT=4",
    "FREQ=HOURLY;INTERVAL=7;COUNT=60",
    "FREQ=HOURLY;BYHOUR=1,2,3;COUNT=60",
    "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,30;COUNT=60",
    "FREQ=MINUTELY;INTERVAL=25;COUNT=60",
]
# Nights before clocks change, and days that are nothing special.
STARTS = ["2010-10-29T02:30:00", "2010-03-12T02:15:00", "2011-12-28T12:00:00", "2010-03-27T01:45:00", "2010-01-31T00:00:00"]


def instant(zone, local):
    """Milliseconds since the epoch."""
    aware = local.replace(tzinfo=zone, fold=0)
    # Of a time that never comes, fold=0 is the offset of before: what PEP 495 calls a gap.
    return int((aware - datetime(1970, 1, 1, tzinfo=timezone.utc)) / timedelta(milliseconds=1))


def case(zone, start, rule):
    local = datetime.fromisoformat(start)
    tz = ZoneInfo(zone)
    written = rule
    if "UNTIL=" in rule:
        head, until = rule.split("UNTIL=")
        at = datetime.strptime(until, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).astimezone(tz)
        written = head + "UNTIL=" + at.strftime("%Y%m%dT%H%M%S")
    starts = list(rrulestr(written, dtstart=local))
    return {"zone": zone, "start": start, "rule": rule, "begins": sorted({instant(tz, one) for one in starts})}


def main():
    chosen = random.Random(7)
    cases = []
    for rule in RULES:
        for zone in chosen.sample(ZONES, 3):
            cases.append(case(zone, chosen.choice(STARTS), rule))
    document = {
        "python": platform.python_version(),
        "dateutil": dateutil.__version__,
        "cases": [one for one in cases if one["begins"]],
    }
    with open(__file__.replace(".py", ".json"), "w", encoding="ascii") as file:
        text = json.dumps(document, separators=(",", ":")).replace('{"zone"', '\n{"zone"')
        file.write(text + "\n")


if __name__ == "__main__":
    main()
