"""Standard MIDI Files as mido has them.

smf.py write FILE SEED   writes a file with many tempos, and prints what it holds
smf.py read FILE         prints what a file holds

A line for each message: its time in microseconds, and its octets as hex.
"""

import random
import sys

import mido


def some_message(chance):
    channel, data = chance.randrange(16), lambda: chance.randrange(128)
    kind = chance.randrange(8)
    if kind == 0:
        return mido.Message("control_change", channel=channel, control=data(), value=data())
    if kind == 1:
        return mido.Message("pitchwheel", channel=channel, pitch=chance.randrange(-8192, 8192))
    if kind == 2:
        return mido.Message("program_change", channel=channel, program=data())
    if kind == 3:
        return mido.Message("sysex", data=[data() for _ in range(chance.randrange(60))])
    name = chance.choice(["note_on", "note_off"])
    return mido.Message(name, channel=channel, note=data(), velocity=data())


def write(path, seed):
    chance = random.Random(seed)
    file = mido.MidiFile(type=1, ticks_per_beat=chance.choice([24, 96, 480, 960, 15360]))
    for number in range(4):
        track = mido.MidiTrack()
        track.append(mido.MetaMessage("track_name", name="track %d" % number))
        for _ in range(1500):
            if number == 0 and chance.randrange(6) == 0:
                track.append(mido.MetaMessage("set_tempo", tempo=chance.randrange(1000, 3000000)))
            else:
                track.append(some_message(chance))
            track[-1].time = chance.choice([0, 0, 1, chance.randrange(200), chance.randrange(900)])
        file.tracks.append(track)
    file.save(path)


def read(path):
    now = 0.0
    for message in mido.MidiFile(path):
        now += message.time
        if not message.is_meta:
            print("%.3f %s" % (now * 1e6, bytes(message.bytes()).hex()))


if sys.argv[1] == "write":
    write(sys.argv[2], int(sys.argv[3]))
read(sys.argv[2])
