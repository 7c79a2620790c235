// npm `rtpmidi` as initiator: invites our server, strikes keys and holds them until it is killed.
//
// node holder.js SERVER_CONTROL_PORT OWN_CONTROL_PORT NAME SSRC NOTE...
'use strict';

const { Session, logger } = require('rtpmidi');
const { whenSynchronised } = require('./list');

const [serverPort, ownPort, name, ssrc, ...notes] = process.argv.slice(2);

logger.transports.forEach((transport) => { transport.silent = true; });

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

const session = new Session(Number(ownPort), name, name, Number(ssrc), false, 4);
session.on('error', (error) => fail(`the peer's socket: ${error}`));
session.on('ready', () => {
  session.connect({ address: '127.0.0.1', port: Number(serverPort) });
});
session.start();

whenSynchronised(session, fail, (stream) => {
  const commands = notes.map((note) => ({
    deltaTime: 0, data: Buffer.from([0x90, Number(note), 100]),
  }));
  stream.sendMessage({ timestamp: session.now(), commands });
  console.error('holding');
});
