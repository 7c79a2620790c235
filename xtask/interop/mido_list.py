"""Writes a random list of messages, made by mido: every type with its least and greatest values, one
system exclusive message of 64 KiB, COUNT random messages, and every type again. Ends with a reset,
after which nothing sounds.

python mido_list.py SEED COUNT FILE [WITHOUT ...]

WITHOUT are types that are left out.
FILE.hex and FILE.txt get one message a line: as octets, and in mido's words without the time.
"""

import random
import sys

import mido

# Attributes of each type, with the greatest value; the least one is 0.
TYPES = {
    'note_off': {'channel': 15, 'note': 127, 'velocity': 127},
    'note_on': {'channel': 15, 'note': 127, 'velocity': 127},
    'polytouch': {'channel': 15, 'note': 127, 'value': 127},
    'control_change': {'channel': 15, 'control': 127, 'value': 127},
    'program_change': {'channel': 15, 'program': 127},
    'aftertouch': {'channel': 15, 'value': 127},
    'pitchwheel': {'channel': 15, 'pitch': 8191},
    'sysex': {},
    'quarter_frame': {'frame_type': 7, 'frame_value': 15},
    'songpos': {'pos': 16383},
    'song_select': {'song': 127},
    'tune_request': {},
    'clock': {},
    'start': {},
    'continue': {},
    'stop': {},
    'active_sensing': {},
    'reset': {},
}

LONG_SYSEX = 64 << 10


def text(message):
    """The words of mido, without the time that no message on a wire has."""
    return str(message).rsplit(' time=', 1)[0]


def least(name):
    return -8192 if name == 'pitch' else 0


def random_message(rng, types):
    kind = rng.choice(types)
    if kind == 'sysex':
        length = rng.choice([0, 1, 2, 3, 10, 60, 300])
        return mido.Message(kind, data=[rng.randrange(128) for _ in range(length)])
    values = {name: rng.randint(least(name), most) for name, most in TYPES[kind].items()}
    return mido.Message(kind, **values)


def every_type(types):
    for kind in types:
        attributes = TYPES[kind]
        yield mido.Message(kind, **{name: least(name) for name in attributes})
        yield mido.Message(kind, **attributes)


def messages(seed, count, types):
    rng = random.Random(seed)
    yield from every_type(types)
    for number in range(count):
        if number == count // 2:
            yield mido.Message('sysex', data=[rng.randrange(128) for _ in range(LONG_SYSEX)])
        yield random_message(rng, types)
    yield from every_type(types)


if __name__ == '__main__':
    unknown = set(TYPES) ^ {spec['type'] for spec in mido.messages.specs.SPECS}
    if unknown:
        sys.exit('these types are not both in mido and here: {}'.format(unknown))
    seed, count, file, *without = sys.argv[1:]
    types = [kind for kind in TYPES if kind not in without]
    with open(file + '.hex', 'w') as as_hex, open(file + '.txt', 'w') as as_text:
        for message in messages(int(seed), int(count), types):
            print(message.hex(), file=as_hex)
            print(text(message), file=as_text)
