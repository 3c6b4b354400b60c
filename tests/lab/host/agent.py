#!/usr/bin/python3
"""The lab's agent: runs commands that come in over a virtio port, one after another.

In:   one JSON object a line: {"script": bash text, "cwd": path, "seconds": limit, "env": {…}}.
Out:  frames of a kind byte, a 32-bit length and that many bytes: "o" and "e" are the command's standard output
      and error, "x" ends it with its exit status as text (124 when the time limit was hit).
"""
import json
import os
import selectors
import signal
import struct
import subprocess
import time

PORT = "/dev/virtio-ports/lab"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
    "KILN_IN_LAB": "1",
}


def send(port, kind, data):
    frame = kind + struct.pack(">I", len(data)) + data
    while frame:
        frame = frame[os.write(port, frame):]


def pump(port, process, deadline):
    """Pass on both streams until the command ends or the time is up; say whether it ended.

    The command's end counts, not its streams': a daemon that it leaves behind may hold those open.
    """
    events = selectors.DefaultSelector()
    events.register(process.stdout, selectors.EVENT_READ, b"o")
    events.register(process.stderr, selectors.EVENT_READ, b"e")
    events.register(os.pidfd_open(process.pid), selectors.EVENT_READ, None)
    while True:
        ready = events.select(max(deadline - time.monotonic(), 0))
        for key, _ in ready:
            data = key.data and os.read(key.fd, 1 << 16)
            if data:
                send(port, key.data, data)
            elif key.data:
                events.unregister(key.fileobj)
        if not ready:
            return False
        if all(key.data is None for key, _ in ready):
            return True  # ended, and nothing more to read


def run(port, request):
    process = subprocess.Popen(
        ["bash", "-c", request["script"]], cwd=request["cwd"], env=request["env"] | ENVIRONMENT,
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ended = pump(port, process, time.monotonic() + request["seconds"])
    if not ended:
        os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    return 124 if not ended else status if status >= 0 else 128 - status


def main():
    port = os.open(PORT, os.O_RDWR)
    with open(port, "rb", closefd=False) as lines:
        while True:
            for line in lines:
                serve(port, line)
            # While nobody is connected outside, the port reads as ended, and nothing tells when that changes.
            time.sleep(0.05)


def serve(port, line):
    try:
        status = run(port, json.loads(line))
    except OSError as error:
        send(port, b"e", f"lab: {error}\n".encode())
        status = 126
    send(port, b"x", str(status).encode())


main()
