"""Stands for one command: the server beside runs it, in a fork of a process that has all imported.

    python -I -S launcher.py <socket> cdao jobs --json

It has the command's standard streams, folder and environment, passes signals on, and ends as the
command does. Where it is killed, the command is, too. It imports little, for it is started often.
"""

import json
import os
import signal
import socket
import struct
import sys

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def main() -> None:
    """Ask for the command, and wait for its end."""
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[1])
    for number in FORWARDED:
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    wanted = {
        "command": sys.argv[2:],
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109 # pathlib takes longer to load than all of this
        "session": os.getsid(0) == os.getpid(),
    }
    text = json.dumps(wanted).encode()
    socket.send_fds(server, [struct.pack("!I", len(text))], [0, 1, 2])
    server.sendall(text)
    for descriptor in (0, 1, 2):
        os.close(descriptor)  # whoever reads them is to see their end with the command's
    told = server.recv(4)
    if len(told) < 4:
        os.kill(os.getpid(), signal.SIGKILL)  # the server is gone
    (status,) = struct.unpack("!i", told)
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)  # nothing is open that would have to be closed


main()
