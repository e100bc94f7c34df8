"""Counts the lines of files with Flink's SQL, as a stream with checkpoints: with_flink.py DIRECTORY STATE WORKERS.

`COUNT(*) GROUP BY`; changes are collected for up to 5 s (mini-batches), so that not each line writes a total.
"""

import sys

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment

directory, state, workers = sys.argv[1:]
settings = {
    "execution.runtime-mode": "STREAMING",
    "parallelism.default": workers,
    "execution.checkpointing.interval": "1 s",
    "execution.checkpointing.mode": "AT_LEAST_ONCE",
    "execution.checkpointing.storage": "filesystem",
    "execution.checkpointing.dir": f"file://{state}",
    "state.backend.type": "hashmap",
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "5 s",
    "table.exec.mini-batch.size": "1000000",
    "table.optimizer.agg-phase-strategy": "TWO_PHASE",
    "taskmanager.memory.process.size": "4g",
    "pipeline.object-reuse": "true",
}
configuration = Configuration()
for name, value in settings.items():
    configuration.set_string(name, value)
tables = TableEnvironment.create(EnvironmentSettings.new_instance().with_configuration(configuration).build())
tables.execute_sql(f"CREATE TABLE lines (name STRING) WITH "
                   f"('connector' = 'filesystem', 'path' = 'file://{directory}', 'format' = 'raw')")
tables.execute_sql("CREATE TABLE totals (name STRING, total BIGINT) WITH ('connector' = 'print')")
tables.execute_sql("INSERT INTO totals SELECT name, COUNT(*) FROM lines GROUP BY name").wait()
