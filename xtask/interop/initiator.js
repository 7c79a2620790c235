// npm `rtpmidi` as initiator: invites our server, plays a random list to it and says goodbye.
//
// node initiator.js SERVER_CONTROL_PORT OWN_CONTROL_PORT NAME SEED COUNT on|off SENT RECEIVED
//
// SENT and RECEIVED are files for the messages, as hex, one a line. `on`: the server sends
// everything back, so wait for it.
'use strict';

const fs = require('fs');
const { Session, logger } = require('rtpmidi');
const { List, hexLines, whenSynchronised } = require('./list');

const [serverPort, ownPort, name, seed, count, echo, sentFile, receivedFile] =
  process.argv.slice(2);

const list = new List(seed);
logger.transports.forEach((transport) => { transport.silent = true; });

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

const received = [];
let lastReceived = 0;

const session = new Session(Number(ownPort), name, name, list.ssrc(), false, 4);
session.on('error', (error) => fail(`the peer's socket: ${error}`));
session.on('message', (delta, buffer) => {
  received.push([...buffer]);
  lastReceived = Date.now();
});
session.on('ready', () => {
  session.connect({ address: '127.0.0.1', port: Number(serverPort) });
});
session.start();

// A few packets at a time, so that no socket buffer of either side overflows.
function play(stream, packets, then) {
  const start = Date.now();
  let next = 0;
  const timer = setInterval(() => {
    // What is sent back has to arrive before more goes out.
    const sent = packets.slice(0, next).flat().length;
    if (echo === 'on' && sent - received.length > 100 && Date.now() - start < 15000) {
      return;
    }
    for (const packet of packets.slice(next, next + 3)) {
      const commands = packet.map((octets) => ({ deltaTime: 0, data: Buffer.from(octets) }));
      stream.sendMessage({ timestamp: session.now(), commands });
    }
    next += 3;
    if (next >= packets.length) {
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

whenSynchronised(session, fail, (stream) => {
  const packets = list.packets(Number(count));
  fs.writeFileSync(sentFile, hexLines(packets.flat()));
  play(stream, packets, () => {
    whenQuiet(echo === 'on' ? Number(count) : 0, () => {
      fs.writeFileSync(receivedFile, hexLines(received));
      // On another port than the data, the goodbye may overtake them: `whenQuiet` has waited.
      session.end(() => process.exit(0));
    });
  });
});
