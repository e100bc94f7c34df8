"""Types into redis-cli as a person does at a terminal: interactive.py PORT.

What it shows there differs from what it writes into a pipe: a prompt, and types of replies.
"""

import os
import pty
import re
import select
import sys
import termios
import time

SECONDS = 30


class Terminal:
    """Terminal of redis-cli."""

    def __init__(self, port):
        self.shown = ""
        child, self.fd = pty.fork()
        if child == 0:
            # Otherwise redis-cli asks the terminal how wide it is.
            termios.tcsetwinsize(0, (24, 120))
            os.environ |= {"TERM": "xterm", "HOME": "/nonexistent"}
            os.execvp("redis-cli", ["redis-cli", "-p", port])
        self.child = child

    def reaches(self, expected):
        """Waits until this is shown, and forgets everything up to there."""
        deadline = time.monotonic() + SECONDS
        while expected not in self.shown:
            assert select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0], (expected, self.shown)
            # Without the sequences that move the cursor and change colours.
            self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(self.fd, 4096).decode())
        self.shown = self.shown.partition(expected)[2]

    def types(self, text):
        os.write(self.fd, text.encode())


def main(port):
    terminal, prompt = Terminal(port), f"127.0.0.1:{port}"
    terminal.reaches(f"{prompt}> ")
    for command, reply in (
        ("incr typed", "(integer) 1"),
        ("get typed", '"1"'),
        ("get none", "(nil)"),
        ("mget typed none", '1) "1"\r\n2) (nil)'),
        ("set typed text", "(error) ERR value is not an integer or out of range"),
        ("multi", "OK"),
        ("incrby typed 41", "QUEUED"),
        ("exec", "1) (integer) 42"),
        ("hello 3", "# "),
        ("config get save", '1# "save" => ""'),
        ("nothing", "(error) ERR unknown command 'nothing'"),
    ):
        terminal.types(command + "\r")
        terminal.reaches(reply)
        # What is typed before the prompt is lost.
        terminal.reaches(f"\r\n{prompt}{'(TX)' if command in ('multi', 'incrby typed 41') else ''}> ")
    # TAB completes the names of commands, which are those of the server.
    terminal.types("count.t\t 1\r")
    terminal.reaches("COUNT.TOP 1")
    terminal.reaches("   2) (integer) ")
    terminal.reaches(f"\r\n{prompt}> ")
    terminal.types("quit\r")
    _, status = os.waitpid(terminal.child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status


main(sys.argv[1])
