"""Counts a topic with Quix Streams, at least once: with_quix.py BROKERS TOPIC RECORDS STATE OUT.

A counter is a value in RocksDB with a changelog topic. The last one of each name is written when all is read.
"""

import sys

from quixstreams import Application

brokers, topic, records, state_dir, out = sys.argv[1:]
app = Application(broker_address=brokers, consumer_group="quix", auto_offset_reset="earliest", state_dir=state_dir,
                  processing_guarantee="at-least-once", commit_interval=1.0, loglevel="ERROR",
                  consumer_extra_config={"queued.min.messages": 1_000_000, "fetch.queue.backoff.ms": 10})
totals = {}


def count(_, key, timestamp, headers, state):
    if not totals:
        print("first", flush=True)
    total = state.get("total", 0) + 1
    state.set("total", total)
    totals[key] = total


stream = app.dataframe(app.topic(topic, key_deserializer="str", value_deserializer="bytes"))
stream.update(count, stateful=True, metadata=True)
app.run(count=int(records))
with open(out, "w") as lines:
    lines.writelines(f"{name}\t{total}\n" for name, total in totals.items())
