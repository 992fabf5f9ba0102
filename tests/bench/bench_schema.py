"""The Python side of bench_schema: `bench_schema.py SCHEMA DOCUMENT`, then one command per line on standard input: `NAME LOOPS`, answered with
the CPU seconds that so many verdicts took. NAME: rs, fast (documents that are Python objects already), rs+parse, fast+parse (from text)."""
import json
import sys
import time

import fastjsonschema
import jsonschema_rs

with open(sys.argv[1], encoding="utf-8") as f:
    schema = json.load(f)
with open(sys.argv[2], encoding="utf-8") as f:
    text = f.read()
document = json.loads(text)
rs = jsonschema_rs.validator_for(schema)
fast = fastjsonschema.compile(schema)
bad = dict(document, unknown=1)
assert rs.is_valid(document) and not rs.is_valid(bad)
fast(document)
try:
    fast(bad)
    sys.exit("fastjsonschema takes a bad document")
except fastjsonschema.JsonSchemaException:
    pass


def run(check, loops, parse):
    loads, start = json.loads, time.process_time()
    if parse:
        for _ in range(loops):
            check(loads(text))
    else:
        for _ in range(loops):
            check(document)
    return time.process_time() - start


for line in sys.stdin:
    name, loops = line.split()
    check = rs.is_valid if name.startswith("rs") else fast
    print(run(check, int(loops), name.endswith("+parse")), flush=True)
