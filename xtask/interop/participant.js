// npm `rtpmidi` as participant: waits to be invited, plays a random list to whoever does so, and ends
// when that one says goodbye.
//
// node participant.js OWN_CONTROL_PORT NAME SEED COUNT SENT RECEIVED
//
// SENT and RECEIVED are files for the messages, as hex, one a line.
'use strict';

const fs = require('fs');
const { Session, logger } = require('rtpmidi');
const { List, hexLines, whenSynchronised } = require('./list');

const [ownPort, name, seed, count, sentFile, receivedFile] = process.argv.slice(2);

logger.transports.forEach((transport) => { transport.silent = true; });

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

const list = new List(seed);
const received = [];
const session = new Session(Number(ownPort), name, name, list.ssrc(), false, 4);
session.on('error', (error) => fail(`the peer's socket: ${error}`));
session.on('message', (delta, buffer) => {
  received.push([...buffer]);
  if (received.length % 100 === 0) {
    console.error(`received: ${received.length}`);
  }
});
session.on('streamRemoved', () => {
  fs.writeFileSync(receivedFile, hexLines(received));
  process.exit(0);
});
session.on('ready', () => console.error('ready'));
session.start();

whenSynchronised(session, fail, (stream) => {
  const packets = list.packets(Number(count));
  fs.writeFileSync(sentFile, hexLines(packets.flat()));
  let next = 0;
  // A few packets at a time, so that no socket buffer of either side overflows.
  const timer = setInterval(() => {
    for (const packet of packets.slice(next, next + 3)) {
      const commands = packet.map((octets) => ({ deltaTime: 0, data: Buffer.from(octets) }));
      stream.sendMessage({ timestamp: session.now(), commands });
    }
    next += 3;
    if (next >= packets.length) {
      clearInterval(timer);
    }
  }, 5);
});

setTimeout(() => fail('no goodbye within 45 s'), 45000);
