"""Counts the lines of files with Bytewax and recovery: with_bytewax.py DIRECTORY STATE OUT WORKERS.

Its totals come when the files end. What has changed is saved every 10 s, as Bytewax does by default.
"""

import pathlib
import sys
from datetime import timedelta

import bytewax.operators as op
from bytewax.connectors.files import DirSink, DirSource
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

directory, state, out, workers = sys.argv[1:]
state, out = pathlib.Path(state), pathlib.Path(out)
state.mkdir(parents=True)
out.mkdir(parents=True)
init_db_dir(state, 1)
flow = Dataflow("counts")
lines = op.input("lines", flow, DirSource(pathlib.Path(directory), batch_size=1_000))
counted = op.count_final("count", lines, lambda line: line)
written = op.map("write", counted, lambda item: (item[0], f"{item[0]}\t{item[1]}"))
op.output("out", written, DirSink(out, int(workers)))
cli_main(flow, workers_per_process=int(workers), epoch_interval=timedelta(seconds=10),
         recovery_config=RecoveryConfig(state))
