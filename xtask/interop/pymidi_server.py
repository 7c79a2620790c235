"""pymidi as participant: prints who comes, the notes and controllers, and who goes.

python pymidi_server.py CONTROL_PORT
"""

import sys

from pymidi.server import Handler, Server


def say(line):
    print(line, flush=True)


class Printer(Handler):
    def on_peer_connected(self, peer):
        say('connected: {}'.format(peer.name))

    def on_peer_disconnected(self, peer):
        say('disconnected: {}'.format(peer.name))

    def on_midi_commands(self, peer, command_list):
        for command in command_list:
            channel, params = command.channel, command.params
            if command.command in ('note_on', 'note_off'):
                say('{} channel={} note={} velocity={}'.format(
                    command.command, channel, int(params.key), params.velocity))
            elif command.command == 'control_mode_change':
                say('control_change channel={} control={} value={}'.format(
                    channel, params.controller, params.value))
            else:
                say('not understood: {}'.format(command))


server = Server([('127.0.0.1', int(sys.argv[1]))])
server.add_handler(Printer())
server.serve_forever()
