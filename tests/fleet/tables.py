"""Derives the columns of DuckDB and ClickHouse from docs/schema/inventory.json."""

import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def resolve(schema, node):
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    for word in ("anyOf", "oneOf"):
        options = [it for it in node.get(word, []) if it.get("type") != "null"]
        if options:
            return {**resolve(schema, options[0]), "nullable": True}
    return node


def kind(node):
    types = node.get("type", "object")
    types = [types] if isinstance(types, str) else types
    nullable = "null" in types or node.get("nullable", False)
    return next(it for it in types if it != "null"), nullable


def duckdb(schema, node):
    node = resolve(schema, node)
    name, _ = kind(node)
    if name == "object":
        if "properties" not in node:
            return "MAP(VARCHAR, %s)" % duckdb(schema, node["additionalProperties"])
        fields = ((key, duckdb(schema, it)) for key, it in node["properties"].items())
        return "STRUCT(%s)" % ", ".join('"%s" %s' % it for it in fields)
    if name == "array":
        return duckdb(schema, node["items"]) + "[]"
    if node.get("format") == "date-time":
        return "TIMESTAMP"
    return {"string": "VARCHAR", "integer": "UBIGINT", "boolean": "BOOLEAN"}[name]


def clickhouse(schema, node):
    node = resolve(schema, node)
    name, nullable = kind(node)
    if name == "object":
        if "properties" not in node:
            return "Map(String, %s)" % clickhouse(schema, node["additionalProperties"])
        fields = ((key, clickhouse(schema, it)) for key, it in node["properties"].items())
        return "Tuple(%s)" % ", ".join("`%s` %s" % it for it in fields)
    if name == "array":
        return "Array(%s)" % clickhouse(schema, node["items"])
    if node.get("format") == "date-time":
        text = "DateTime64(6, 'UTC')"
    else:
        text = {"string": "String", "integer": "UInt64", "boolean": "Bool"}[name]
    return "Nullable(%s)" % text if nullable else text


def columns(of):
    schema = json.loads((ROOT / "docs/schema/inventory.json").read_text())
    return [(key, of(schema, node)) for key, node in schema["properties"].items()]


def duckdb_view(files):
    inner = ", ".join("'%s': '%s'" % it for it in columns(duckdb))
    return f"CREATE VIEW inventories AS SELECT * FROM read_json('{files}', columns = {{{inner}}})"


def clickhouse_structure():
    return ", ".join("`%s` %s" % it for it in columns(clickhouse))


if __name__ == "__main__":
    print(duckdb_view("inventories/*.json"), end=";\n\n")
    print(clickhouse_structure())
