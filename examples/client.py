# /usr/bin/python3 examples/client.py "你好"
#
# Needs websocket-client (Debian: python3-websocket). Without a question it reads them from the terminal, line by line.
# CHANNEL_URL, CHANNEL_TOKEN and CHANNEL_AGENT say where, as whom, and with whom to talk.
import json
import os
import sys
import threading

import websocket

URL = os.environ.get("CHANNEL_URL", "ws://localhost:9527/api/v1/ws")
TOKEN = os.environ.get("CHANNEL_TOKEN")
AGENT_ID = os.environ.get("CHANNEL_AGENT", "main")
HEARTBEAT_SECONDS = 30


def connect():
    header = [f"Authorization: Bearer {TOKEN}"] if TOKEN else []
    try:
        return websocket.create_connection(URL, header=header)
    except websocket.WebSocketBadStatusException as error:
        sys.exit(f"The server refused the connection: {error.status_code}")
    except OSError as error:
        sys.exit(f"Cannot connect to {URL}: {error}")


def ask(socket, message):
    """Returns at the end of the answer, which is printed as it comes."""
    socket.send(json.dumps({"type": "chat", "agentId": AGENT_ID, "message": message}))
    while True:
        opcode, data = socket.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            sys.exit(f"The server closed the connection: {int.from_bytes(data[:2], 'big')} {data[2:].decode()}")
        frame = json.loads(data)
        if frame["type"] == "error":
            details = " ({path}: {rule})".format(**frame["details"]) if "details" in frame else ""
            sys.exit(f"The agent did not answer: {frame['code']}: {frame['message']}{details}")
        if frame["type"] in ("stream", "message"):
            print(frame["content"], end="", flush=True)
            if frame["done"]:
                print()
                return


def talk(socket):
    # The library answers the server's pings only while it reads, and nothing reads while a person thinks.
    stopped = threading.Event()

    def beat():
        while socket.connected and not stopped.wait(HEARTBEAT_SECONDS):
            socket.send(json.dumps({"type": "ping"}))

    threading.Thread(target=beat, daemon=True).start()
    prompt = "> " if sys.stdin.isatty() else ""
    print(prompt, end="", flush=True)
    for line in sys.stdin:
        if line.strip() != "":
            ask(socket, line.strip())
        print(prompt, end="", flush=True)
    stopped.set()


def main():
    socket = connect()
    try:
        if len(sys.argv) > 1:
            ask(socket, " ".join(sys.argv[1:]))
        else:
            talk(socket)
    except (websocket.WebSocketException, OSError) as error:
        sys.exit(f"The connection was lost: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        socket.close()


main()
