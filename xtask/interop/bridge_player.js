// npm `rtpmidi` as initiator: invites our bridge and plays a random list to it while it hears others.
//
// node bridge_player.js CONTROL_PORT OWN_CONTROL_PORT NAME SEED COUNT LONG EXPECT SENT RECEIVED
//
// COUNT short messages, and LONG system exclusive messages of several thousand octets between them.
// Says `playing` when it begins, and `done` when it has heard EXPECT messages, or nothing for a while.
// SENT and RECEIVED are files for the messages, as hex, one a line. Says goodbye when its standard
// input ends, and how many came late.
'use strict';

const fs = require('fs');
const { Session, logger } = require('rtpmidi');
const { List, hexLines, whenSynchronised } = require('./list');

const [port, ownPort, name, seed, count, long, expect, sentFile, receivedFile] =
  process.argv.slice(2);

const list = new List(seed);
logger.transports.forEach((transport) => { transport.silent = true; });

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

const received = [];
let lastReceived = Date.now();

const session = new Session(Number(ownPort), name, name, list.ssrc(), false, 4);
session.on('error', (error) => fail(`the peer's socket: ${error}`));
session.on('message', (delta, buffer) => {
  received.push([...buffer]);
  lastReceived = Date.now();
});
session.on('ready', () => session.connect({ address: '127.0.0.1', port: Number(port) }));
session.start();

function packets() {
  const all = list.packets(Number(count));
  for (let number = 1; number <= Number(long); number += 1) {
    // One by itself: its list length has twelve bits.
    all.splice(Math.floor((all.length * number) / (Number(long) + 1)), 0, [list.longSysex()]);
  }
  return all;
}

// A few packets at a time, so that no socket buffer of either side overflows.
function play(stream, all, then) {
  let next = 0;
  const timer = setInterval(() => {
    for (const packet of all.slice(next, next + 3)) {
      const commands = packet.map((octets) => ({ deltaTime: 0, data: Buffer.from(octets) }));
      stream.sendMessage({ timestamp: session.now(), commands });
    }
    next += 3;
    if (next >= all.length) {
      clearInterval(timer);
      then();
    }
  }, 5);
}

whenSynchronised(session, fail, (stream) => {
  const all = packets();
  fs.writeFileSync(sentFile, hexLines(all.flat()));
  console.error('playing');
  play(stream, all, () => {
    lastReceived = Date.now();
    const poll = setInterval(() => {
      const quiet = Date.now() - lastReceived;
      // Then a while for what is too much.
      if (quiet > (received.length >= Number(expect) ? 500 : 5000)) {
        clearInterval(poll);
        fs.writeFileSync(receivedFile, hexLines(received));
        console.error(`done: ${received.length}`);
        const before = received.length;
        process.stdin.on('end', () => {
          console.error(`late: ${received.length - before}`);
          session.end(() => process.exit(0));
        });
        process.stdin.resume();
      }
    }, 20);
  });
});

setTimeout(() => fail('nobody said when to end within 60 s'), 60000);
