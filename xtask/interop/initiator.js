// npm `rtpmidi` as initiator: invites our server, plays a random list to it and says goodbye.
//
// node initiator.js SERVER_CONTROL_PORT OWN_CONTROL_PORT NAME SEED COUNT on|off SENT RECEIVED
//
// SENT and RECEIVED are files for the messages, as hex, one a line. `on`: the server sends
// everything back, so wait for it.
'use strict';

const fs = require('fs');
const { Session, logger } = require('rtpmidi');

const [serverPort, ownPort, name, seed, count, echo, sentFile, receivedFile] =
  process.argv.slice(2);

logger.transports.forEach((transport) => { transport.silent = true; });

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

// xorshift32: the same list from the same seed, on every version of node.
let state = (Number(seed) ^ 0x9e3779b9) >>> 0 || 1;
function below(limit) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % limit;
}

// Not the universal SysEx ids 7e and 7f: tshark takes their contents apart and gets some wrong.
// Not 00 either, which begins an id of three octets.
function sysex() {
  const length = below(4) === 0 ? below(4) : below(200);
  const data = Array.from({ length }, (_, at) => (at === 0 ? 1 + below(0x7d) : below(128)));
  return [0xf0, ...data, 0xf7];
}

function message() {
  const kind = below(8);
  if (kind === 7) {
    return sysex();
  }
  const status = 0x80 | (kind << 4) | below(16);
  const oneOctet = (status & 0xe0) === 0xc0;
  return oneOctet ? [status, below(128)] : [status, below(128), below(128)];
}

// Packets of one to four commands. Two SysEx side by side would share one status octet with this
// peer, which is its error and not our subject.
function packets() {
  const list = [];
  let left = Number(count);
  while (left > 0) {
    const packet = [];
    for (let room = Math.min(1 + below(4), left); room > 0; room -= 1) {
      let next = message();
      while (next[0] === 0xf0 && packet.length > 0 && packet[packet.length - 1][0] === 0xf0) {
        next = message();
      }
      packet.push(next);
    }
    left -= packet.length;
    list.push(packet);
  }
  return list;
}

function hexLines(messages) {
  return messages.map((octets) => `${Buffer.from(octets).toString('hex')}\n`).join('');
}

const received = [];
let lastReceived = 0;

const session = new Session(Number(ownPort), name, name, 1 + below(0xfffffffe), false, 4);
session.on('error', (error) => fail(`the peer's socket: ${error}`));
session.on('message', (delta, buffer) => {
  received.push([...buffer]);
  lastReceived = Date.now();
});
session.on('ready', () => {
  session.connect({ address: '127.0.0.1', port: Number(serverPort) });
});
session.start();

// `sendMessage` of the stream does nothing before the first clock exchange is complete.
function whenSynchronised(then) {
  const start = Date.now();
  const poll = setInterval(() => {
    const [stream] = session.getStreams();
    if (stream && stream.latency !== null && stream.timeDifference !== null) {
      clearInterval(poll);
      then(stream);
    } else if (Date.now() - start > 20000) {
      fail('no session and no clock exchange within 20 s');
    }
  }, 50);
}

// A few packets at a time, so that no socket buffer of either side overflows.
function play(stream, list, then) {
  const start = Date.now();
  let next = 0;
  const timer = setInterval(() => {
    // What is sent back has to arrive before more goes out.
    const sent = list.slice(0, next).flat().length;
    if (echo === 'on' && sent - received.length > 100 && Date.now() - start < 15000) {
      return;
    }
    for (const packet of list.slice(next, next + 3)) {
      const commands = packet.map((octets) => ({ deltaTime: 0, data: Buffer.from(octets) }));
      stream.sendMessage({ timestamp: session.now(), commands });
    }
    next += 3;
    if (next >= list.length) {
      clearInterval(timer);
      then();
    }
  }, 5);
}

// Until everything is back, or nothing came for three seconds; then a while for what is too much.
function whenQuiet(expected, then) {
  lastReceived = Date.now();
  const poll = setInterval(() => {
    const complete = received.length >= expected;
    if (complete || Date.now() - lastReceived > 3000) {
      clearInterval(poll);
      setTimeout(then, 500);
    }
  }, 20);
}

whenSynchronised((stream) => {
  const list = packets();
  fs.writeFileSync(sentFile, hexLines(list.flat()));
  play(stream, list, () => {
    whenQuiet(echo === 'on' ? Number(count) : 0, () => {
      fs.writeFileSync(receivedFile, hexLines(received));
      // On another port than the data, the goodbye may overtake them: `whenQuiet` has waited.
      session.end(() => process.exit(0));
    });
  });
});
