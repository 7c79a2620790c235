"""mido's socket ports: clients of our server, and a server for our clients.

python mido_port.py client PORT [SEND EXPECT RECEIVED]
    Connects, says `connected: OWN_ADDRESS`, and waits for a line on standard input. Sends the
    messages of the file SEND (hex, one a line) while it receives EXPECT others, and then what comes
    too much for a while, says `done`, and writes all that it received to the file RECEIVED. Stays
    until its standard input ends, or the other side goes, and leaves.
python mido_port.py server [SEND EXPECT RECEIVED] ...
    Listens, says `listening: PORT`, and accepts as many clients as it has triples of arguments, each
    with `accepted: ADDRESS`. Does the same with all of them at once when a line is there.
python mido_port.py listener PORT [COUNT]
    Connects, says `connected: OWN_ADDRESS`, and waits for a line on standard input. Then prints what
    it receives by iterating over the port, to the end of the connection or up to COUNT.
python mido_port.py cut PORT NOTES OCTETS
    Connects, says `connected: OWN_ADDRESS`, and waits for a line on standard input. Sends notes and
    then one system exclusive message of so many data octets; says `writing` before that and
    `written` after it.
"""

import sys
import threading
import time

import mido
from mido.sockets import PortServer, connect

from mido_list import text

HOST = '127.0.0.1'
# Nothing here takes so long, in seconds; the other side has shorter bounds.
PATIENCE = 120
# For messages that are too much.
SURPLUS = 0.3


def say(line):
    print(line, flush=True)


class Exchange:
    """Sends a list and receives another one, over one port."""

    def __init__(self, port, send, expect, received):
        self.port = port
        with open(send) as lines:
            self.outgoing = [mido.Message.from_hex(line) for line in lines]
        self.expect = int(expect)
        self.file = received
        self.received = []
        self.next = 0

    def step(self):
        """A few out, all that is there in; whether anything went on."""
        few = self.outgoing[self.next:self.next + 16]
        for message in few:
            self.port.send(message)
        self.next += len(few)
        before = len(self.received)
        self.received.extend(self.port.iter_pending())
        return bool(few) or len(self.received) > before

    def done(self):
        complete = self.next == len(self.outgoing) and len(self.received) >= self.expect
        return complete or self.port.closed

    def save(self):
        with open(self.file, 'w') as file:
            for message in self.received:
                print(text(message), file=file)


def run(exchanges):
    """All of them, turn by turn, and a while for what is too much."""
    end = time.monotonic() + PATIENCE
    complete = None
    while True:
        # A list, as each has to have its turn.
        if any([exchange.step() for exchange in exchanges]):
            complete = None
        else:
            time.sleep(0.001)
        now = time.monotonic()
        if complete is None and all(exchange.done() for exchange in exchanges):
            complete = now
        if complete is not None and now - complete > SURPLUS or now > end:
            break
    for exchange in exchanges:
        exchange.save()
    say('done: {}'.format(' '.join(str(len(exchange.received)) for exchange in exchanges)))


def wait_for_line():
    if not sys.stdin.readline():
        sys.exit('nobody said when to begin')


def stay(exchanges):
    """Until standard input ends or everybody is gone; counts what still comes."""
    over = threading.Event()

    def read():
        sys.stdin.read()
        over.set()

    threading.Thread(target=read, daemon=True).start()
    end = time.monotonic() + PATIENCE
    late = 0
    while not over.is_set() and time.monotonic() < end:
        late += sum(len(list(exchange.port.iter_pending())) for exchange in exchanges)
        if all(exchange.port.closed for exchange in exchanges):
            break
        time.sleep(0.005)
    say('late: {}'.format(late))


def client(port, *files):
    port = connect(HOST, int(port))
    say('connected: {}:{}'.format(*port._socket.getsockname()))
    exchanges = [Exchange(port, *files)]
    wait_for_line()
    run(exchanges)
    stay(exchanges)


def server(*files):
    wanted = [files[at:at + 3] for at in range(0, len(files), 3)]
    server = PortServer(HOST, 0)
    say('listening: {}'.format(server._socket.getsockname()[1]))
    exchanges = []
    for triple in wanted:
        port = server.accept()
        say('accepted: {}:{}'.format(*port._socket.getpeername()))
        exchanges.append(Exchange(port, *triple))
    wait_for_line()
    run(exchanges)
    stay(exchanges)
    for exchange in exchanges:
        say('closed: {}'.format(exchange.port.closed))


def listener(port, count=None):
    port = connect(HOST, int(port))
    say('connected: {}:{}'.format(*port._socket.getsockname()))
    wait_for_line()
    heard = 0
    try:
        for message in port:
            say('midi: {}'.format(text(message)))
            heard += 1
            if heard == int(count or -1):
                break
    except ValueError as error:
        # mido ends like this when the last octets and the end come together.
        if not port.closed:
            raise
        say('mido: {}'.format(error))
    say('end: {}'.format(heard))


def cut(port, notes, octets):
    message = mido.Message('sysex', data=[at % 128 for at in range(int(octets))])
    port = connect(HOST, int(port))
    say('connected: {}:{}'.format(*port._socket.getsockname()))
    wait_for_line()
    for number in range(int(notes)):
        port.send(mido.Message('note_off', note=number % 128))
    say('writing')
    port.send(message)
    say('written')


if __name__ == '__main__':
    ROLES = {'client': client, 'server': server, 'listener': listener, 'cut': cut}
    ROLES[sys.argv[1]](*sys.argv[2:])
