"""What is measured of installations in which nothing changes: runs that find nothing, and commands that only read."""

from __future__ import annotations

from pathlib import Path

import ask
from bars import ACCOUNTS, LARGEST
from cases import Report, Results, check, grow, in_turns, temporary_folder
from listing import Account
from measure import HOURLY, ORDINARY, Measured, Summary, is_installed, measure, serving

COMMANDS = {
    "show carriers": ["show", "carriers"],
    "status": ["status", "--max-age", "1000000"],
    "report": ["report"],
}
ACCOUNT = """
[sources.sendcloud.accounts.shop{number}.credentials]
public_key = "public{number}"
secret_key = "secret{number}"
"""


def nothing_new(pickups: int, contenders: list[str], rounds: int, report: Report) -> Results:
    """Runs that find nothing new, one after the other over the same files, as a schedule makes them."""
    account = Account(pickups)
    with serving(pickups) as address, temporary_folder() as kept:
        for contender in filter(is_installed, contenders):
            (kept / contender).mkdir()
            for _ in range(2):  # the second run is not a first load, and prepares a quick run
                measure(contender, kept / contender, f"{address}/later/api/v2")

        def once(contender: str) -> Measured:
            measured = measure(contender, kept / contender, f"{address}/later/api/v2")
            check(contender, kept / contender, account, "later")
            check_way(contender, kept / contender)
            return measured

        return in_turns(contenders, rounds, once, report)


def nothing_new_in_large_tables(sizes: list[int], rounds: int, report: Report) -> Results:
    """The same of ours, in tables of these sizes, published hourly or by every run. The API lists 10,000 pickups."""
    results: Results = {}
    with serving(10_000) as address, temporary_folder() as folder:
        url, before = f"{address}/later/api/v2", 10_000
        measure("ours", folder, url)
        for size in sizes:
            grow(folder / "warehouse.duckdb", size - before)
            before = size
            for name, who in ((f"{size:,} rows", HOURLY), (f"{size:,} rows, published by every run", "ours")):
                results[name] = _repeated(who, folder, url, rounds)
                report(f"{name}: {results[name].cpu_s:.2f} s of CPU")
    return results


def nothing_new_in_many_accounts(rows: int, large: int, rounds: int, report: Report) -> Results:
    """The same of ours with ACCOUNTS accounts, in a table of so many rows, and of `large` rows if that is not 0."""
    results: Results = {}
    with serving(rows // ACCOUNTS) as address, temporary_folder() as kept:
        for who in filter(is_installed, ["ours", ORDINARY]):
            folder, url = kept / who, f"{address}/later/api/v2"
            (folder / ".dlt").mkdir(parents=True)
            sections = "".join(ACCOUNT.format(number=number) for number in range(ACCOUNTS))
            (folder / ".dlt" / "secrets.toml").write_text(sections)
            measure(who, folder, url)
            results[who] = _repeated(who, folder, url, rounds)
            report(f"{who}: {results[who].cpu_s:.2f} s of CPU")
            if large:
                grow(folder / "warehouse.duckdb", large - rows)
                results[f"{who}, {LARGEST}"] = _repeated(who, folder, url, rounds)
    return results


def _repeated(who: str, folder: Path, url: str, rounds: int) -> Summary:
    measure(who, folder, url)
    summary = Summary.of([measure(who, folder, url) for _ in range(rounds)])
    check_way(who, folder)
    return summary


def check_way(who: str, folder: Path) -> None:
    """Fails if our last run did not go the way that its name says."""
    if who.startswith("ours"):
        last = "select is_quick from sendcloud.pickup_runs order by run_number desc limit 1"
        assert ask.rows(folder / "warehouse.duckdb", last) == [[not who.startswith(ORDINARY)]], (
            f"{who} went the other way"
        )


def commands(pickups: int, rounds: int, report: Report) -> Results:
    """The commands that people wait for, over so many pickups."""
    with serving(pickups) as address, temporary_folder() as folder:
        url = f"{address}/later/api/v2"
        measure("ours", folder, url)
        runs: dict[str, list[Measured]] = {name: [] for name in COMMANDS}
        for _ in range(rounds):
            for name, words in COMMANDS.items():
                runs[name].append(measure("ours", folder, url, words))
                report(f"{name}: {runs[name][-1].seconds:.2f} s, {runs[name][-1].cpu_s:.2f} s of CPU")
        return {name: Summary.of(measured) for name, measured in runs.items()}
