//! Every MIDI command of a capture, as `netmidi decode` and as tshark read it: the test
//! `decode_tshark` of netmidi-cli. It also tells how fast the released binary is.

use crate::dist;
use crate::stage::{Verdict, cargo, need, run};

/// Where the test finds its seed.
const SEED: &str = "NETMIDI_TSHARK_SEED";
/// Where it finds the binary.
const BINARY: &str = "NETMIDI_BINARY";

pub(crate) fn check(seed: u32) -> Verdict {
    need("tshark", "apt install tshark")?;
    println!("seed {seed}");
    // The one that `dist` packs: built once for both.
    let binary = dist::static_binary()?;
    let test = "test --package netmidi-cli --no-default-features --test decode_tshark -- --ignored \
                --nocapture";
    run(cargo(test.split(' '))
        .env(SEED, seed.to_string())
        .env(BINARY, binary))
}
