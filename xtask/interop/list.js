// What the scripts for npm `rtpmidi` share: random lists of messages, and when a session is up.
'use strict';

// xorshift32: the same list from the same seed, on every version of node.
class List {
  constructor(seed) {
    this.state = (Number(seed) ^ 0x9e3779b9) >>> 0 || 1;
  }

  below(limit) {
    let { state } = this;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.state = state >>> 0;
    return this.state % limit;
  }

  ssrc() {
    return 1 + this.below(0xfffffffe);
  }

  // Not the universal SysEx ids 7e and 7f: tshark takes their contents apart and gets some wrong.
  // Not 00 either, which begins an id of three octets.
  sysex() {
    const length = this.below(4) === 0 ? this.below(4) : this.below(200);
    const octet = (at) => (at === 0 ? 1 + this.below(0x7d) : this.below(128));
    return [0xf0, ...Array.from({ length }, (_, at) => octet(at)), 0xf7];
  }

  // As long as the twelve bits for the length of a command list allow, or a few kB less: this peer
  // sends a SysEx in one packet or not at all.
  longSysex() {
    const length = 1000 + this.below(3000);
    const octet = (at) => (at === 0 ? 1 + this.below(0x7d) : this.below(128));
    return [0xf0, ...Array.from({ length }, (_, at) => octet(at)), 0xf7];
  }

  message() {
    const kind = this.below(8);
    if (kind === 7) {
      return this.sysex();
    }
    const status = 0x80 | (kind << 4) | this.below(16);
    const oneOctet = (status & 0xe0) === 0xc0;
    const data = () => this.below(128);
    return oneOctet ? [status, data()] : [status, data(), data()];
  }

  // Packets of one to four commands. Two SysEx side by side would share one status octet with this
  // peer, which is its error and not our subject.
  packets(count) {
    const list = [];
    let left = count;
    while (left > 0) {
      const packet = [];
      for (let room = Math.min(1 + this.below(4), left); room > 0; room -= 1) {
        let next = this.message();
        while (next[0] === 0xf0 && packet.length > 0 && packet[packet.length - 1][0] === 0xf0) {
          next = this.message();
        }
        packet.push(next);
      }
      left -= packet.length;
      list.push(packet);
    }
    return list;
  }
}

function hexLines(messages) {
  return messages.map((octets) => `${Buffer.from(octets).toString('hex')}\n`).join('');
}

// `sendMessage` of a stream does nothing before the first clock exchange is complete.
function whenSynchronised(session, fail, then) {
  const start = Date.now();
  const poll = setInterval(() => {
    const [stream] = session.getStreams();
    if (stream && stream.latency !== null && stream.timeDifference !== null) {
      clearInterval(poll);
      then(stream);
    } else if (Date.now() - start > 20000) {
      clearInterval(poll);
      fail('no session and no clock exchange within 20 s');
    }
  }, 50);
}

module.exports = { List, hexLines, whenSynchronised };
