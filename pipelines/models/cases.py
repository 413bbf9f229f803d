"""What sqlglot 30.21 leaves as it is, or turns into something else, in one table: what, into what, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import sqlglot
from sqlglot import exp

from pipelines.models.translate import HOME

Node = Any  # sqlglot says no more of what its nodes are made of


class Case(NamedTuple):
    """In that dialect a node of this kind becomes what the function gives: the node itself where it is another case."""

    dialect: str
    kind: type[exp.Expr]
    becomes: Callable[[Node], Node]
    reason: str


def in_words_of(dialect: str, sql: str) -> Iterator[str]:
    """Each statement of the text, after the cases of the dialect, in the order of the table; comments are left out."""
    for statement in sqlglot.parse(sql, read=HOME):
        if statement is None or isinstance(statement, exp.Semicolon):  # nothing, or nothing but a comment
            continue
        for case in CASES:
            if case.dialect == dialect:
                _apply(case, statement)
        yield statement.sql(dialect, comments=False)


def _apply(case: Case, statement: exp.Expr) -> None:
    """From the inside out, so that what a function takes over has been through the case already."""
    for node in reversed(list(statement.find_all(case.kind))):
        if (becomes := case.becomes(node)) is not node:
            node.replace(becomes)


def _made(text: str, dialect: str = "postgres", **parts: Node) -> exp.Expr:
    """The text, which has a `:name` for each of the parts."""
    copies = {name: part.copy() for name, part in parts.items()}
    return exp.replace_placeholders(sqlglot.parse_one(text, read=dialect), **copies)


def _is_call(node: Node, name: str) -> bool:
    """Of a function that sqlglot has no node for."""
    return isinstance(node, exp.Anonymous) and node.name.lower() == name


def _instant_in_utc(node: Node) -> Node:
    """make_timestamp(epoch_us(x)) of an instant: how DuckDB does it fast."""
    return _made(":x at time zone 'UTC'", x=node.this.expressions[0]) if _is_call(node.this, "epoch_us") else node


def _microseconds(node: Node) -> Node:
    if not _is_call(node, "epoch_us"):
        return node
    return _made("cast(extract(epoch from :x) * 1000000 as bigint)", x=node.expressions[0])


def _whole_part(node: Node) -> Node:
    return node if node.name.lower() == "epoch" else _made("cast(:part as bigint)", part=node)


def _series_alone(node: Node) -> Node:
    return node.this if isinstance(node.this, exp.GenerateSeries) else node


def _length_of_jsonb(node: Node) -> Node:
    return _made("jsonb_array_length(:x)", x=node.expressions[0]) if _is_call(node, "json_array_length") else node


def _text_of_json(node: Node) -> Node:
    steps = ",".join(str(step.this) for step in node.expression.expressions[1:])  # after the root
    return _made(":x #>> :path", x=node.this, path=exp.Literal.string(f"{{{steps}}}"))


def _filter_inside(node: Node) -> Node:
    """arg_max(a, b) filter (where c): rows whose b is null are passed over anyway."""
    found = node.this
    if isinstance(found, exp.ArgMax):
        found.set("expression", _made("case when :c then :b end", c=node.expression.this, b=found.expression))
    elif _is_call(found, "arg_max_null"):
        found.expressions[1].replace(_made("case when :c then :b end", c=node.expression.this, b=found.expressions[1]))
    else:
        return node
    return found


def _last_of_all(node: Node) -> Node:
    text = "(array_agg(:a order by :b desc) filter (where :a is not null and :b is not null))[1]"
    return _made(text, a=node.this, b=node.expression)


def _last_of_all_or_null(node: Node) -> Node:
    if not _is_call(node, "arg_max_null"):
        return node
    a, b = node.expressions
    return _made("(array_agg(:a order by :b desc) filter (where :b is not null))[1]", a=a, b=b)


def _using_as_on(node: Node) -> Node:
    if node.kind not in ("ANTI", "SEMI") or not node.args.get("using"):
        return node
    left, right = node.parent.args["from_"].this.alias_or_name, node.this.alias_or_name
    same = [f"{left}.{column.name} = {right}.{column.name}" for column in node.args["using"]]
    node.set("on", exp.and_(*same))
    node.set("using", None)
    return node


def _any_of_given(node: Node) -> Node:
    """x in (select unnest($these))"""
    query = node.args.get("query")
    of = query.this.expressions[0] if query and len(query.this.expressions) == 1 else None
    if not isinstance(of, exp.Explode) or not isinstance(of.this, exp.Placeholder) or query.this.args.get("from_"):
        return node
    return exp.EQ(this=node.this.copy(), expression=exp.Any(this=exp.Paren(this=of.this.copy())))


def _percent_doubled(node: Node) -> Node:
    if "%" not in node.name or not node.root().find(exp.Placeholder):
        return node
    return exp.Literal.string(node.name.replace("%", "%%"))


# Spark


def _without_zone(node: Node) -> Node:
    """The same as _instant_in_utc; the session's zone is UTC, see spark_session.py."""
    if not _is_call(node.this, "epoch_us"):
        return node
    return _made("cast(:x as timestamp_ntz)", "spark", x=node.this.expressions[0])


def _unix_micros(node: Node) -> Node:
    if not _is_call(node, "epoch_us"):
        return node
    return _made("unix_micros(cast(:x as timestamp))", "spark", x=node.expressions[0])


def _local_without_zone(node: Node) -> Node:
    return _made("cast(:local as timestamp_ntz)", "spark", local=node)


def _part_as_bigint(node: Node) -> Node:
    if node.name.lower() == "isodow":
        node = _made("extract(dayofweek_iso from :x)", "spark", x=node.expression)
    return _made("cast(:part as bigint)", "spark", part=node)


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
    return _made(text, "spark", a=node.args["start"], b=node.args["end"])


def _place_in_json(node: Node) -> Node:
    if isinstance(node.expression, exp.JSONPath):
        return node
    return _made("get_json_object(:x, concat('$[', :place, ']'))", "spark", x=node.this, place=node.expression)


def _max_by(node: Node) -> Node:
    text = "max_by(:a, case when :a is not null then :b end)"
    return _made(text, "spark", a=node.this, b=node.expression)


def _max_by_or_null(node: Node) -> Node:
    if not _is_call(node, "arg_max_null"):
        return node
    return exp.Anonymous(this="max_by", expressions=[part.copy() for part in node.expressions])


def _number_as_bigint(node: Node) -> Node:
    if not isinstance(node.this, exp.Rank | exp.RowNumber):
        return node
    return _made("cast(:number as bigint)", "spark", number=node)


CASES = (
    Case("postgres", exp.UnixToTime, _instant_in_utc, "sqlglot goes by way of a double and keeps the time zone"),
    Case("postgres", exp.Anonymous, _microseconds, "no epoch_us; extract gives a numeric, so no microsecond is lost"),
    Case("postgres", exp.Extract, _whole_part, "a numeric there: 9 would be read as Decimal('9.000000')"),
    Case("postgres", exp.Explode, _series_alone, "generate_series gives rows there, not a list to unnest"),
    Case("postgres", exp.Anonymous, _length_of_jsonb, "JSON is jsonb there, which has functions of its own"),
    Case("postgres", exp.JSONExtractScalar, _text_of_json, "sqlglot's function is for json alone, this for jsonb too"),
    Case("postgres", exp.Filter, _filter_inside, "for the next two, which have a filter already"),
    Case("postgres", exp.ArgMax, _last_of_all, "no arg_max, and none of sqlglot's"),
    Case("postgres", exp.Anonymous, _last_of_all_or_null, "the same for arg_max_null"),
    Case("postgres", exp.Join, _using_as_on, "no anti join; sqlglot makes `not exists` only of one that has an `on`"),
    Case("postgres", exp.In, _any_of_given, "by its statistics of the values, not as if each were as frequent"),
    Case("postgres", exp.Literal, _percent_doubled, "psycopg reads % as a parameter, where a statement has any"),
    Case(
        "spark", exp.UnixToTime, _without_zone, "timestamp_micros gives an instant, and a view has times without zone"
    ),
    Case("spark", exp.Anonymous, _unix_micros, "no epoch_us"),
    Case("spark", exp.AtTimeZone, _local_without_zone, "from_utc_timestamp gives the local time as if it were in UTC"),
    Case("spark", exp.Extract, _part_as_bigint, "no isodow, and an int for the others"),
    Case("spark", exp.PercentileCont, _exact_percentile, "percentile_cont wants `within group` and takes no list"),
    Case("spark", exp.Table, _series_as_table, "no table functions over generate_series; for the next"),
    Case("spark", exp.GenerateSeries, _sequence, "sequence(0, -1) counts down"),
    Case("spark", exp.JSONExtract, _place_in_json, "a place that is a column is no path"),
    Case("spark", exp.ArgMax, _max_by, "max_by gives null where the last is null"),
    Case("spark", exp.Anonymous, _max_by_or_null, "and that is what arg_max_null wants"),
    Case("spark", exp.Window, _number_as_bigint, "an int there"),
)
