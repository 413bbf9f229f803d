"""Corrects SQL that sqlglot 30.21 leaves untranslated or translates incorrectly.

RULES lists each correction and its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import sqlglot
from sqlglot import exp

from pipelines.dialects import DUCKDB

Node = Any  # sqlglot doesn't declare the types of a node's parts


class Rule(NamedTuple):
    """A rule that replaces one kind of node in one dialect. If it doesn't apply, `becomes` returns the node itself."""

    dialect: str
    kind: type[exp.Expr]
    becomes: Callable[[Node], Node]
    reason: str


def translate_statements(dialect: str, sql: str) -> Iterator[str]:
    """Yields each statement in the dialect, without comments. The dialect's rules are applied in the order of RULES."""
    for statement in sqlglot.parse(sql, read=DUCKDB):
        if statement is None or isinstance(statement, exp.Semicolon):  # the statement has only comments or no content
            continue
        for case in RULES:
            if case.dialect == dialect:
                _apply(case, statement)
        yield statement.sql(dialect, comments=False)


def _apply(case: Rule, statement: exp.Expr) -> None:
    """Applies the rule to inner nodes first, so that each replacement copies parts that are already corrected."""
    for node in reversed(list(statement.find_all(case.kind))):
        if (becomes := case.becomes(node)) is not node:
            node.replace(becomes)


def _replacement(text: str, dialect: str = "postgres", **parts: Node) -> exp.Expr:
    """Returns the parsed text, with each `:name` replaced by a copy of the part with that name."""
    copies = {name: part.copy() for name, part in parts.items()}
    return exp.replace_placeholders(sqlglot.parse_one(text, read=dialect), **copies)


def _is_call(node: Node, name: str) -> bool:
    """Returns whether the node is a call to this function, for which sqlglot has no node class."""
    return isinstance(node, exp.Anonymous) and node.name.lower() == name


def _instant_in_utc(node: Node) -> Node:
    """Replaces make_timestamp(n) and make_timestamp(epoch_us(x)), the fast way to convert to UTC in DuckDB."""
    if _is_call(node.this, "epoch_us"):
        return _replacement(":x at time zone 'UTC'", x=node.this.expressions[0])
    # A double holds every whole second exactly, but not every microsecond after the year 2255.
    since_1970 = "(:n) / 1000000 * interval '1 second' + (:n) % 1000000 * interval '1 microsecond'"
    return _replacement(f"(timestamp '1970-01-01' + {since_1970})", n=node.this)


def _microseconds(node: Node) -> Node:
    if not _is_call(node, "epoch_us"):
        return node
    return _replacement("cast(extract(epoch from :x) * 1000000 as bigint)", x=node.expressions[0])


def _looked_up(node: Node) -> Node:
    """Drops the short cut of a local time, `when booked_offset_us is not null`, so that the time zone is looked up."""
    condition = node.args["ifs"][0].this.sql()
    is_short_cut = condition.startswith("NOT ") and condition.endswith("_offset_us IS NULL")
    return node.args["default"].copy() if is_short_cut else node


def _whole_part(node: Node) -> Node:
    return node if node.name.lower() == "epoch" else _replacement("cast(:part as bigint)", part=node)


def _series_alone(node: Node) -> Node:
    return node.this if isinstance(node.this, exp.GenerateSeries) else node


def _length_of_jsonb(node: Node) -> Node:
    return (
        _replacement("jsonb_array_length(:x)", x=node.expressions[0]) if _is_call(node, "json_array_length") else node
    )


def _text_of_json(node: Node) -> Node:
    steps = ",".join(str(step.this) for step in node.expression.expressions[1:])  # the first step is the path's root
    return _replacement(":x #>> :path", x=node.this, path=exp.Literal.string(f"{{{steps}}}"))


def _filter_inside(node: Node) -> Node:
    """Moves the filter of arg_max(a, b) filter (where c) into b, because arg_max ignores rows in which b is null."""
    found = node.this
    if isinstance(found, exp.ArgMax):
        found.set("expression", _replacement("case when :c then :b end", c=node.expression.this, b=found.expression))
    elif _is_call(found, "arg_max_null"):
        found.expressions[1].replace(
            _replacement("case when :c then :b end", c=node.expression.this, b=found.expressions[1])
        )
    else:
        return node
    return found


def _last_of_all(node: Node) -> Node:
    text = "(array_agg(:a order by :b desc) filter (where :a is not null and :b is not null))[1]"
    return _replacement(text, a=node.this, b=node.expression)


def _last_of_all_or_null(node: Node) -> Node:
    if not _is_call(node, "arg_max_null"):
        return node
    a, b = node.expressions
    return _replacement("(array_agg(:a order by :b desc) filter (where :b is not null))[1]", a=a, b=b)


def _repeated(node: Node) -> Node:
    node.set("materialized", False if node.args.get("materialized") else None)
    return node


def _not_materialized(node: Node) -> Node:
    node.set("materialized", None)
    return node


def _using_as_on(node: Node) -> Node:
    if node.kind not in ("ANTI", "SEMI") or not node.args.get("using"):
        return node
    left, right = node.parent.args["from_"].this.alias_or_name, node.this.alias_or_name
    same = [f"{left}.{column.name} = {right}.{column.name}" for column in node.args["using"]]
    node.set("on", exp.and_(*same))
    node.set("using", None)
    return node


def _any_of_given(node: Node) -> Node:
    """Replaces x in (select unnest($these)) with x = any($these)."""
    query = node.args.get("query")
    of = query.this.expressions[0] if query and len(query.this.expressions) == 1 else None
    if not isinstance(of, exp.Explode) or not isinstance(of.this, exp.Placeholder) or query.this.args.get("from_"):
        return node
    return exp.EQ(this=node.this.copy(), expression=exp.Any(this=exp.Paren(this=of.this.copy())))


def _percent_doubled(node: Node) -> Node:
    if "%" not in node.name or not node.root().find(exp.Placeholder):
        return node
    return exp.Literal.string(node.name.replace("%", "%%"))


def _without_zone(node: Node) -> Node:
    """Replaces the same call as _instant_in_utc, but for Spark, whose sessions use UTC (spark_session.py)."""
    if not _is_call(node.this, "epoch_us"):
        return _replacement("cast(timestamp_micros(:n) as timestamp_ntz)", "spark", n=node.this)
    return _replacement("cast(:x as timestamp_ntz)", "spark", x=node.this.expressions[0])


def _unix_micros(node: Node) -> Node:
    if not _is_call(node, "epoch_us"):
        return node
    return _replacement("unix_micros(cast(:x as timestamp))", "spark", x=node.expressions[0])


def _local_without_zone(node: Node) -> Node:
    return _replacement("cast(:local as timestamp_ntz)", "spark", local=node)


def _part_as_bigint(node: Node) -> Node:
    if node.name.lower() == "isodow":
        node = _replacement("extract(dayofweek_iso from :x)", "spark", x=node.expression)
    return _replacement("cast(:part as bigint)", "spark", part=node)


def _exact_percentile(node: Node) -> Node:
    return exp.Anonymous(this="percentile", expressions=[node.this.copy(), node.expression.copy()])


def _series_as_table(node: Node) -> Node:
    if not isinstance(node.this, exp.GenerateSeries):
        return node
    names = node.args["alias"].columns
    made = exp.select(exp.Explode(this=node.this.copy()).as_(names[0].name if names else "generate_series"))
    return made.subquery(node.alias)


def _sequence(node: Node) -> Node:
    text = "case when :b >= :a then sequence(cast(:a as bigint), cast(:b as bigint)) end"
    return _replacement(text, "spark", a=node.args["start"], b=node.args["end"])


def _place_in_json(node: Node) -> Node:
    if isinstance(node.expression, exp.JSONPath):
        return node
    return _replacement("get_json_object(:x, concat('$[', :place, ']'))", "spark", x=node.this, place=node.expression)


def _max_by(node: Node) -> Node:
    text = "max_by(:a, case when :a is not null then :b end)"
    return _replacement(text, "spark", a=node.this, b=node.expression)


def _max_by_or_null(node: Node) -> Node:
    if not _is_call(node, "arg_max_null"):
        return node
    return exp.Anonymous(this="max_by", expressions=[part.copy() for part in node.expressions])


def _number_as_bigint(node: Node) -> Node:
    if not isinstance(node.this, exp.Rank | exp.RowNumber):
        return node
    return _replacement("cast(:number as bigint)", "spark", number=node)


RULES = (
    Rule("postgres", exp.Case, _looked_up, "looking up a time zone is fast, and epoch_us is slow"),
    Rule("postgres", exp.UnixToTime, _instant_in_utc, "sqlglot converts via a double and returns a timestamptz"),
    Rule("postgres", exp.Anonymous, _microseconds, "extract replaces epoch_us; its result loses no microseconds"),
    Rule("postgres", exp.Extract, _whole_part, "extract returns a numeric, so 9 would become Decimal('9.000000')"),
    Rule("postgres", exp.Explode, _series_alone, "generate_series returns rows, not a list to unnest"),
    Rule("postgres", exp.Anonymous, _length_of_jsonb, "JSON is stored as jsonb, which has its own functions"),
    Rule("postgres", exp.JSONExtractScalar, _text_of_json, "sqlglot's function needs json; #>> accepts jsonb too"),
    Rule("postgres", exp.Filter, _filter_inside, "the next two rules add a filter themselves"),
    Rule("postgres", exp.ArgMax, _last_of_all, "PostgreSQL has no arg_max, and sqlglot doesn't replace it"),
    Rule("postgres", exp.Anonymous, _last_of_all_or_null, "PostgreSQL has no arg_max_null either"),
    Rule("postgres", exp.CTE, _repeated, "PostgreSQL applies no outer filter inside a CTE that is stored"),
    Rule("postgres", exp.Join, _using_as_on, "PostgreSQL has no anti join; sqlglot rewrites it only with `on`"),
    Rule("postgres", exp.In, _any_of_given, "with an array, the planner uses the values' frequencies, not an average"),
    Rule("postgres", exp.Literal, _percent_doubled, "psycopg reads % as a parameter if the statement has parameters"),
    Rule("spark", exp.Case, _looked_up, "as on PostgreSQL"),
    Rule("spark", exp.CTE, _not_materialized, "Spark has no materialized CTEs"),
    Rule("spark", exp.UnixToTime, _without_zone, "timestamp_micros returns an instant, not a time without a zone"),
    Rule("spark", exp.Anonymous, _unix_micros, "Spark has no epoch_us"),
    Rule("spark", exp.AtTimeZone, _local_without_zone, "from_utc_timestamp returns local time as an instant in UTC"),
    Rule("spark", exp.Extract, _part_as_bigint, "Spark has no isodow, and the other parts are ints"),
    Rule("spark", exp.PercentileCont, _exact_percentile, "percentile_cont needs `within group` and accepts no list"),
    Rule("spark", exp.Table, _series_as_table, "generate_series is not a table function; see the next rule"),
    Rule("spark", exp.GenerateSeries, _sequence, "sequence(0, -1) counts down"),
    Rule("spark", exp.JSONExtract, _place_in_json, "a JSON path must be a literal, not a column"),
    Rule("spark", exp.ArgMax, _max_by, "max_by can return null, but arg_max skips null values"),
    Rule("spark", exp.Anonymous, _max_by_or_null, "max_by can return null, just as arg_max_null can"),
    Rule("spark", exp.Window, _number_as_bigint, "rank and row_number return an int"),
)
