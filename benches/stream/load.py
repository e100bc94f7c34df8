"""Creates a topic, and sends lines of a file as keys of records: load.py BROKERS TOPIC PARTITIONS FILE RECORDS."""

import itertools
import sys

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

brokers, topic, partitions, path, records = sys.argv[1:]
# Quix Streams wants to know of retention; nothing is deleted.
config = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
admin = AdminClient({"bootstrap.servers": brokers})
admin.create_topics([NewTopic(topic, int(partitions), 1, config=config)])[topic].result()
producer = Producer({"bootstrap.servers": brokers, "linger.ms": 50, "batch.num.messages": 10_000,
                     "batch.size": 1_000_000, "queue.buffering.max.messages": 1_000_000})
failed = []


def acknowledged(error, _):
    if error:
        failed.append(error)


with open(path, "rb") as lines:
    for line in itertools.islice(lines, int(records)):
        while True:
            try:
                producer.produce(topic, key=line[:-1], value=b"1", on_delivery=acknowledged)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
producer.flush()
sys.exit(f"{len(failed)} records not acknowledged: {failed[0]}" if failed else 0)
