//! A capture of the loopback interface, and what tshark makes of it.

use core::mem;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::child::{Program, Read};
use crate::mido;
use crate::stage::{Stop, Verdict, need, stdout_of};

const HOW_TO_GET_IT: &str = "apt install tshark";

pub(crate) fn need_tools() -> Verdict {
    need("tshark", HOW_TO_GET_IT)?;
    need("dumpcap", HOW_TO_GET_IT)
}

/// A running capture.
#[derive(Debug)]
pub(crate) struct Capture {
    dumpcap: Program,
    file: PathBuf,
}

/// A capture that is complete.
#[derive(Debug)]
pub(crate) struct Captured {
    file: PathBuf,
}

/// A packet of the session protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SessionPacket {
    /// Since the beginning of the capture.
    pub(crate) at: Duration,
    /// Source and destination port.
    pub(crate) from: u16,
    pub(crate) to: u16,
    /// Its two letters; behind those of a clock exchange its count.
    pub(crate) command: String,
}

/// The MIDI commands of both directions, as tshark cut them.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Directions {
    pub(crate) from_peer: Vec<Vec<u8>>,
    pub(crate) to_peer: Vec<Vec<u8>>,
}

impl Capture {
    /// Captures everything to and from `ports` on loopback.
    pub(crate) fn start(file: &Path, ports: &[u16]) -> Result<Self, Stop> {
        let filter: Vec<String> = ports
            .iter()
            .map(|port| format!("udp port {port}"))
            .collect();
        let mut command = Command::new("dumpcap");
        command
            .args(["-q", "-i", "lo", "-f", &filter.join(" or "), "-w"])
            .arg(file);
        let log = file.with_extension("log");
        let dumpcap = Program::start("dumpcap", &mut command, Read::Stderr, &log)?;
        // It names its file once the interface is open.
        let mut said = Vec::new();
        while let Ok(line) = dumpcap.line(Duration::from_secs(10)) {
            if line.starts_with("File: ") {
                return Ok(Self {
                    dumpcap,
                    file: file.to_owned(),
                });
            }
            said.push(line);
        }
        if said
            .iter()
            .any(|line| line.contains("permission") || line.contains("permitted"))
        {
            let reason = "dumpcap may not capture on lo (run as root, or give it CAP_NET_RAW)";
            return Err(Stop::Skipped(reason.to_owned()));
        }
        Err(format!("dumpcap did not start: {}", said.join(" ")).into())
    }

    /// Ends the capture. Nothing in it may be malformed or of neither protocol.
    pub(crate) fn finish(mut self) -> Result<Captured, Stop> {
        // The kernel hands packets over in blocks: wait for the last one.
        thread::sleep(Duration::from_millis(500));
        self.dumpcap.signal("INT")?;
        self.dumpcap.success(Duration::from_secs(10))?;
        let captured = Captured { file: self.file };

        // What tshark knows as neither protocol would otherwise just be missing below.
        let fields = ["-T", "fields", "-e", "udp.payload", "-e", "_ws.col.Info"];
        let odd = captured.tshark("_ws.malformed || !(rtpmidi || applemidi)", &fields)?;
        let mut wrong = odd.lines().filter(|line| {
            let payload = line.split('\t').next().and_then(mido::from_hex);
            !payload.is_some_and(|octets| tshark_miscounts(&octets))
        });
        if let Some(first) = wrong.next() {
            let count = 1 + wrong.count();
            return Err(format!("tshark finds {count} packets wrong, first: {first}").into());
        }
        Ok(captured)
    }
}

impl Captured {
    /// The MIDI commands. `peer_port` is the peer's data port.
    pub(crate) fn directions(&self, peer_port: u16) -> Result<Directions, Stop> {
        let pdml = self.tshark("rtpmidi", &["-T", "pdml"])?;
        Ok(directions(&pdml, peer_port)?)
    }

    /// What tshark takes for AppleMIDI, in order.
    pub(crate) fn session_packets(&self) -> Result<Vec<SessionPacket>, Stop> {
        let fields = ["frame.time_relative", "udp.srcport", "udp.dstport"];
        let fields = fields.into_iter().chain(["udp.payload"]);
        let mut format = vec!["-T", "fields"];
        for field in fields {
            format.extend(["-e", field]);
        }
        let text = self.tshark("applemidi", &format)?;
        let packet = |line| {
            session_packet(line).ok_or_else(|| format!("not a session packet: {line}").into())
        };
        text.lines().map(packet).collect()
    }

    fn tshark(&self, filter: &str, format: &[&str]) -> Result<String, Stop> {
        stdout_of(
            Command::new("tshark")
                .arg("-r")
                .arg(&self.file)
                .args(["-n", "-Y", filter])
                .args(format),
        )
    }
}

/// Reads time, source port, destination port and payload, with tabs between.
fn session_packet(line: &str) -> Option<SessionPacket> {
    let mut fields = line.split('\t');
    let at = Duration::from_secs_f64(fields.next()?.parse().ok()?);
    let (from, to) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let octets = mido::from_hex(fields.next()?)?;
    let mut command = String::from_utf8(octets.get(2..4)?.to_vec()).ok()?;
    if command == "CK" {
        command.push_str(&octets.get(8)?.to_string());
    }
    Some(SessionPacket {
        at,
        from,
        to,
        command,
    })
}

/// Whether tshark (4.0.17) calls this packet malformed although it is right: its journal has one
/// channel, and in chapter N more note logs than octets follow, if one octet of OFFBITS more for
/// each log were there (it takes the one number for the other).
fn tshark_miscounts(packet: &[u8]) -> bool {
    fn notes(packet: &[u8]) -> Option<(usize, usize)> {
        const RTP_HEADER: usize = 12;
        const JOURNAL_HEADER: usize = 3;
        let section = packet.get(RTP_HEADER..)?;
        let (&head, rest) = section.split_first()?;
        let list = if head & 0x80 == 0 {
            usize::from(head & 0x0F)
        } else {
            1 + (usize::from(head & 0x0F) << 8) + usize::from(*rest.first()?)
        };
        let journal = rest.get(list..).filter(|_| head & 0x40 != 0)?;
        // No system journal, one channel.
        if journal.first()? & 0x6F != 0x20 {
            return None;
        }
        let channel = journal.get(JOURNAL_HEADER..)?;
        let (toc, mut rest) = (channel.get(2)?, channel.get(3..)?);
        if toc & 0x80 != 0 {
            rest = rest.get(3..)?;
        }
        if toc & 0x40 != 0 {
            rest = rest.get(1 + 2 * (usize::from(rest.first()? & 0x7F) + 1)..)?;
        }
        if toc & 0x20 != 0 {
            let length = (usize::from(rest.first()? & 3) << 8) + usize::from(*rest.get(1)?);
            rest = rest.get(length..)?;
        }
        if toc & 0x10 != 0 {
            rest = rest.get(2..)?;
        }
        let logs = usize::from(rest.first()? & 0x7F);
        (toc & 0x08 != 0).then_some((logs, rest.len() - 2))
    }
    notes(packet).is_some_and(|(logs, left)| 3 * logs > left)
}

/// Reads tshark's packet description, which has one element a line.
///
/// A command is an unnamed field directly below the unnamed field `Command Section`; its `value`
/// are its octets. With running status these lack the status, which then stands in two fields
/// within it.
fn directions(pdml: &str, peer_port: u16) -> Result<Directions, String> {
    let mut found = Directions::default();
    let mut to_peer = false;
    let mut depth = 0_usize;
    let mut section = None;
    let mut command = Octets::default();
    for line in pdml.lines().map(str::trim) {
        let Some(name) = attribute(line, "name") else {
            if line == "</field>" {
                depth = depth.saturating_sub(1);
                if section.is_some_and(|section| depth == section + 1) {
                    let commands = if to_peer {
                        &mut found.to_peer
                    } else {
                        &mut found.from_peer
                    };
                    commands.push(mem::take(&mut command).whole()?);
                } else if section == Some(depth) {
                    section = None;
                }
            }
            continue;
        };
        let value = attribute(line, "value").unwrap_or_default();
        let show = attribute(line, "show").unwrap_or_default();
        match name {
            "udp.dstport" => to_peer = show == peer_port.to_string(),
            "rtpmidi.channel_status" => command.status = digit(value).map(|high| high << 4),
            "rtpmidi.channel" => command.channel = digit(value),
            "" if show == "Command Section" => section = Some(depth),
            "" if section.is_some_and(|section| depth == section + 1) => {
                command = Octets {
                    octets: mido::from_hex(value),
                    ..Octets::default()
                };
            }
            _ => {}
        }
        if line.starts_with("<field") && !line.ends_with("/>") {
            depth += 1;
        }
    }
    Ok(found)
}

/// A command while its fields are read.
#[derive(Debug, Default)]
struct Octets {
    octets: Option<Vec<u8>>,
    status: Option<u8>,
    channel: Option<u8>,
}

impl Octets {
    /// The command with its status in front.
    fn whole(self) -> Result<Vec<u8>, String> {
        let mut octets = self.octets.ok_or("tshark shows a command without octets")?;
        let with_status = octets.first().is_some_and(|&first| first >= 0x80);
        match (with_status, self.status, self.channel) {
            (true, ..) => Ok(octets),
            (false, Some(status), Some(channel)) => {
                octets.insert(0, status | channel);
                Ok(octets)
            }
            _ => Err(format!(
                "tshark shows a command without status: {octets:02x?}"
            )),
        }
    }
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

fn digit(value: &str) -> Option<u8> {
    u8::from_str_radix(value, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tshark_miscounts_is_known() {
        let packet = |hex| mido::from_hex(hex).unwrap();
        // One note log, no OFFBITS.
        let journal = "80610102000013880badf00d40200001000708 81f0 3ce4".replace(' ', "");
        assert!(tshark_miscounts(&packet(&journal)));
        // As many octets of OFFBITS.
        let journal = "80610102000013880badf00d40200001000808 8177 3ce4 08".replace(' ', "");
        assert!(!tshark_miscounts(&packet(&journal)));
        assert!(!tshark_miscounts(&packet(
            "80610102000013880badf00d03903c64"
        )));
    }

    #[test]
    fn session_packets_have_a_name() {
        let command = |line| session_packet(line).map(|packet| packet.command);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            command("0.5\t5004\t5104\tffff494e0000000200000001000000024100"),
            some("IN")
        );
        assert_eq!(
            command("0.5\t5004\t5104\tffff434b0000000201000000"),
            some("CK1")
        );
        assert_eq!(command("0.5\t5004\t5104\tffff"), None);
    }

    /// Three packets as tshark describes them, shortened: a status of its own, running status,
    /// SysEx with a field inside, and a packet the other way.
    const PDML: &str = r#"
<packet>
  <proto name="udp" showname="User Datagram Protocol" size="8" pos="34">
    <field name="udp.dstport" showname="Destination Port: 5205" size="2" pos="36" show="5205" value="1455"/>
  </proto>
  <proto name="rtpmidi" showname="RFC 4695/6295 RTP-MIDI" size="11" pos="54">
    <field name="rtpmidi.p_flag" showname="...0 .... = P-Flag" size="1" pos="54" show="0" value="0"/>
    <field name="" show="Command Section" size="10" pos="55" value="903c64003d0000f07d01f7">
      <field name="" show="Note On (c=1, n=C4, v=100)" size="3" pos="55" value="903c64">
        <field name="rtpmidi.channel_status" showname="1001 ...." size="1" pos="55" show="0x09" value="9"/>
        <field name="rtpmidi.channel" showname=".... 0000" size="1" pos="55" show="0x00" value="0"/>
      </field>
      <field name="rtpmidi.deltatime_1" showname="Delta" size="1" pos="58" show="0x00" value="0"/>
      <field name="" show="Note Off* (c=1, n=C#4, v=0)" size="2" pos="59" value="3d00">
        <field name="rtpmidi.channel_status" showname="1001 ...." size="1" pos="99" show="0x09" value="9"/>
        <field name="rtpmidi.channel" showname=".... 0000" size="1" pos="99" show="0x02" value="2"/>
      </field>
      <field name="rtpmidi.deltatime_1" showname="Delta" size="1" pos="61" show="0x00" value="0"/>
      <field name="" show="Full Sysex-Command" size="4" pos="62" value="f07d01f7">
        <field name="" show="Manufacturer specific data" size="1" pos="64" value="01">
          <field name="rtpmidi.manu_data" showname="data: 01" size="1" pos="64" show="01" value="01"/>
        </field>
      </field>
    </field>
    <field name="" show="Journal Section" size="3" pos="66" value="200001">
      <field name="" show="Channel Journal" size="3" pos="66" value="200001">
      </field>
    </field>
  </proto>
</packet>
<packet>
  <proto name="udp" showname="User Datagram Protocol" size="8" pos="34">
    <field name="udp.dstport" showname="Destination Port: 5105" size="2" pos="36" show="5105" value="13f1"/>
  </proto>
  <proto name="rtpmidi" showname="RFC 4695/6295 RTP-MIDI" size="11" pos="54">
    <field name="" show="Command Section" size="2" pos="55" value="c305">
      <field name="" show="Program Change" size="2" pos="55" value="c305">
      </field>
    </field>
  </proto>
</packet>
"#;

    #[test]
    fn commands_come_out_in_order_with_their_status() {
        let hex = |list: &[&str]| {
            list.iter()
                .map(|hex| mido::from_hex(hex).unwrap())
                .collect()
        };
        let expected = Directions {
            from_peer: hex(&["903c64", "923d00", "f07d01f7"]),
            to_peer: hex(&["c305"]),
        };
        assert_eq!(directions(PDML, 5105), Ok(expected));
    }

    #[test]
    fn a_command_without_status_is_an_error() {
        let pdml = "<field name=\"\" show=\"Command Section\" value=\"3d00\">\n\
                    <field name=\"\" show=\"?\" value=\"3d00\">\n</field>\n</field>\n";
        assert!(directions(pdml, 1).is_err());
    }
}
