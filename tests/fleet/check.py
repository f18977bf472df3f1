"""Loads generated inventories into DuckDB and ClickHouse (chdb), asks the questions of docs/fleet.md, and compares the answers.

Usage: check.py [--hosts N] [--days N] [--services N]. Needs the packages duckdb and chdb.
"""

import argparse
import pathlib
import re
import resource
import sys
import tempfile
import time

import chdb
import duckdb
from chdb import session

import generate
import tables

PAGE = (tables.ROOT / "docs/fleet.md").read_text()


def blocks(language):
    return re.findall(r"```%s\n(.*?)```" % language, PAGE, re.S)


def statements(text):
    return [it.strip() for it in text.split(";") if it.strip()]


class Duck:
    name = "DuckDB"

    def __init__(self, files):
        self.connection = duckdb.connect()
        self.connection.execute("SET threads = 2; SET memory_limit = '2GB'; SET TimeZone = 'UTC'")
        self.connection.execute(tables.duckdb_view(files))
        for block in blocks("sql duckdb"):
            for statement in statements(block):
                self.connection.execute(statement)

    def ask(self, question):
        return [tuple(map(str, row)) for row in self.connection.execute(question).fetchall()]


class Click:
    name = "ClickHouse"

    def __init__(self, files):
        self.session = session.Session()
        self.session.query("CREATE DATABASE IF NOT EXISTS fleet")
        self.session.query("USE fleet")
        source = f"file('{files}', JSONEachRow, '{tables.clickhouse_structure()}')".replace("'UTC'", "\\'UTC\\'")
        for block in blocks("sql clickhouse"):
            for statement in statements(block):
                self.session.query(statement.replace("inventories_file", source))

    def ask(self, question):
        text = self.session.query(question, "TabSeparated").bytes().decode()
        return [tuple(line.split("\t")) for line in text.splitlines()]


def expected(hosts, days, services):
    """What each question must answer: a number of rows, computed from how the hosts are generated."""
    today = max(days)
    old = [it for it in range(hosts) if it % 7 == 0]
    renewed = today // 60
    ends = [generate.days_valid(number, renewed) for number in range(services)]
    soon = sum(1 for end in ends if today + 1 <= end <= today + 31) * hosts
    stale = len([it for it in range(hosts) if it % 50 == 0]) if renewed else 0
    previous = sorted(days)[-2]
    new = hosts * services if previous // 60 != renewed else 0
    lossy = len([it for it in range(hosts) if it % 97 == 0])
    return [services and 1, soon, len(old), stale, new, hosts, services, 2, lossy, services]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--services", type=int, default=6)
    options = parser.parse_args()
    days = sorted({round(it * 364 / max(options.days - 1, 1)) for it in range(options.days)})
    questions = blocks("sql")
    assert len(questions) == 10, f"{len(questions)} questions"
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        began = time.monotonic()
        generate.write(folder, options.hosts, days, options.services)
        size = sum(it.stat().st_size for it in folder.iterdir())
        count = options.hosts * len(days)
        print(f"{count} inventories of {options.hosts} hosts, {size / 1e6:.0f} MB, "
              f"generated in {time.monotonic() - began:.1f} s")
        answers = expected(options.hosts, days, options.services)
        last = generate.START + __import__("datetime").timedelta(days=max(days) + 1)
        sha256 = generate.certificate("host00000", 0, max(days) // 60)["sha256"]
        for engine in (Duck, Click):
            began = time.monotonic()
            loaded = engine(str(folder / "*.json"))
            print(f"{engine.name}: loaded in {time.monotonic() - began:.1f} s")
            for number, (question, rows) in enumerate(zip(questions, answers), 1):
                title, query = question.split("\n", 1)
                query = query.replace("2026-12-31 00:00:00", last.strftime("%Y-%m-%d %H:%M:%S"))
                query = query.replace("CERTIFICATE_SHA256", sha256).rstrip().rstrip(";")
                began = time.monotonic()
                found = loaded.ask(query)
                took = (time.monotonic() - began) * 1000
                result = "" if len(found) == rows else f"  WRONG: expected {rows}"
                wrong += bool(result)
                print(f"  {number:2} {took:7.1f} ms {len(found):7} rows  {title.lstrip('- ')}{result}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"peak memory {peak / 1024:.0f} MB, DuckDB {duckdb.__version__}, chdb {chdb.__version__}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
