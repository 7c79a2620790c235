//! A packet for people who want to know everything: every field, in the names of RFC 6295.

use std::fmt::{self, Write};

use netmidi_journal::{
    ChannelJournal, Complete, ControlTool, Controls, Entry, Extra, Extras, Journal, Notes,
    ParameterLog, Parameters, Pending, PolyPressure, RealTimeLog, Simple, SysExLog, SystemJournal,
    Timecode, UndefinedLog,
};
use netmidi_message::{Parameter, U4};
use netmidi_wire::{Command, CommandSection, Control, RtpPacket, SysExSegment};

use super::describe::{segment_word, simple_toc};
use super::packet::{Reading, Rtp};

/// What stands under the line of a packet.
pub(super) fn packet(out: &mut String, reading: &Reading<'_>) -> fmt::Result {
    match reading {
        Reading::AppleMidi(Ok(control)) => self::control(out, control),
        Reading::Rtp(Ok(rtp)) => self::rtp(out, rtp),
        Reading::AppleMidi(Err(_)) | Reading::Rtp(Err(_)) => Ok(()),
    }
}

/// Begins a line, so deep.
fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth + 3));
}

/// A whole line.
macro_rules! line {
    ($out:expr, $depth:expr, $($text:tt)*) => {{
        indent($out, $depth);
        writeln!($out, $($text)*)
    }};
}

const fn bit(flag: bool) -> u8 {
    flag as u8
}

fn control(out: &mut String, control: &Control<'_>) -> fmt::Result {
    match control {
        Control::Exchange(it) => {
            line!(
                out,
                0,
                "command {}, version 2, token {}, ssrc {}",
                it.kind.code(),
                it.token,
                it.ssrc
            )?;
            match it.name {
                Some(name) => line!(out, 0, "name {:?}", name.to_string()),
                None => line!(out, 0, "no name"),
            }
        }
        Control::Clock(it) => {
            let [one, two, three] = it.timestamps.map(|it| it.0);
            line!(
                out,
                0,
                "command CK, ssrc {}, count {}, timestamps {one}, {two}, {three} (100 µs each)",
                it.ssrc,
                it.count as u8
            )
        }
        Control::Feedback(it) => line!(
            out,
            0,
            "command RS, ssrc {}, sequence {}, lower half {}",
            it.ssrc,
            it.seq.0,
            it.low
        ),
        Control::BitrateLimit(it) => line!(
            out,
            0,
            "command RL, ssrc {}, {} bit/s",
            it.ssrc,
            it.bits_per_second
        ),
    }
}

fn rtp(out: &mut String, rtp: &Rtp<'_>) -> fmt::Result {
    header(out, &rtp.packet)?;
    if let Ok(it) = &rtp.section {
        section(out, it)?;
    }
    match &rtp.journal {
        Some(Ok(salvaged)) => {
            if salvaged.damage.is_some() {
                line!(out, 0, "what is whole of a damaged journal:")?;
            }
            journal(out, &salvaged.journal)
        }
        _ => Ok(()),
    }
}

fn header(out: &mut String, packet: &RtpPacket<'_>) -> fmt::Result {
    let it = packet.header();
    line!(
        out,
        0,
        "RTP: M={} PT={} sequence {} timestamp {} ssrc {}",
        bit(it.marker),
        it.payload_type.get(),
        it.seq.0,
        it.timestamp.0,
        it.ssrc
    )?;
    if packet.is_padded() {
        line!(out, 1, "padding: {} octets", packet.padding())?;
    }
    if let Some(extension) = packet.extension() {
        line!(
            out,
            1,
            "header extension: profile {:#06x}, {} octets",
            extension.profile(),
            extension.data().len()
        )?;
    }
    for source in packet.csrc() {
        line!(out, 1, "contributing source {source}")?;
    }
    Ok(())
}

fn section(out: &mut String, it: &CommandSection<'_>) -> fmt::Result {
    line!(
        out,
        0,
        "MIDI list: B={} J={} Z={} P={} LEN={}",
        bit(it.is_long()),
        bit(it.has_journal()),
        bit(it.has_first_delta()),
        bit(it.is_phantom()),
        it.list().len()
    )?;
    for command in it.commands() {
        indent(out, 1);
        let (delta, at) = (command.delta.get(), command.timestamp.0);
        write!(out, "+{delta} at {at}: ")?;
        match command.command {
            None => out.push_str("nothing until then"),
            Some(Command::Message(message)) => {
                write!(out, "{message}  (")?;
                hex(out, message.to_vec())?;
                out.push(')');
            }
            Some(Command::SysEx(segment)) => sysex_segment(out, &segment)?,
        }
        if command.running {
            out.push_str("  (running status)");
        }
        out.push('\n');
    }
    Ok(())
}

fn sysex_segment(out: &mut String, segment: &SysExSegment<'_>) -> fmt::Result {
    let kind = segment.kind();
    let len = segment.data().len();
    write!(out, "sysex {}, {len} octets: ", segment_word(kind))?;
    write!(out, "{:02x} ", kind.head())?;
    if len > 0 {
        hex(out, segment.data().iter().copied())?;
        out.push(' ');
    }
    write!(out, "{:02x}", kind.tail())
}

fn hex(out: &mut String, octets: impl IntoIterator<Item = u8>) -> fmt::Result {
    for (index, octet) in octets.into_iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        write!(out, "{space}{octet:02x}")?;
    }
    Ok(())
}

fn journal(out: &mut String, it: &Journal<'_>) -> fmt::Result {
    let count = it.channel_count();
    line!(
        out,
        0,
        "journal: S={} Y={} A={} H={} TOTCHAN={} checkpoint {}",
        bit(it.s()),
        bit(it.has_system()),
        bit(count > 0),
        bit(it.enhanced()),
        count.saturating_sub(1),
        it.checkpoint().0
    )?;
    if let Some(it) = it.system() {
        system(out, &it)?;
    }
    for it in it.channels() {
        channel(out, &it)?;
    }
    surplus(out, 1, it.surplus())
}

fn surplus(out: &mut String, depth: usize, octets: &[u8]) -> fmt::Result {
    match octets.len() {
        0 => Ok(()),
        len => line!(out, depth, "{len} octets behind the last chapter"),
    }
}

fn channel(out: &mut String, it: &ChannelJournal<'_>) -> fmt::Result {
    indent(out, 1);
    write!(
        out,
        "channel {}: S={} H={} LENGTH={} chapters ",
        it.channel.index(),
        bit(it.s),
        bit(it.enhanced),
        it.encoded_len() + it.surplus().len()
    )?;
    out.extend(it.toc().map(|chapter| chapter.letter()));
    out.push('\n');
    if let Some(it) = it.program {
        let bank = it.bank;
        line!(
            out,
            2,
            "P, program change: S={} PROGRAM={} B={} BANK-MSB={} X={} BANK-LSB={}",
            bit(it.s),
            it.program,
            bit(bank.is_some()),
            bank.map_or(0, |bank| bank.msb.get()),
            bit(bank.is_some_and(|bank| bank.reset)),
            bank.map_or(0, |bank| bank.lsb.get())
        )?;
    }
    if let Some(it) = &it.controls {
        controls(out, it)?;
    }
    if let Some(it) = &it.parameters {
        parameters(out, it)?;
    }
    if let Some(it) = it.wheel {
        let bend = it.bend.to_u14();
        line!(
            out,
            2,
            "W, pitch wheel: S={} FIRST={} SECOND={} (pitch {})",
            bit(it.s),
            bend.lsb(),
            bend.msb(),
            it.bend.to_i16()
        )?;
    }
    if let Some(it) = &it.notes {
        notes(out, it)?;
    }
    if let Some(it) = &it.extras {
        extras(out, it)?;
    }
    if let Some(it) = it.pressure {
        line!(
            out,
            2,
            "T, channel aftertouch: S={} PRESSURE={}",
            bit(it.s),
            it.pressure
        )?;
    }
    if let Some(it) = &it.poly_pressure {
        poly_pressure(out, it)?;
    }
    surplus(out, 2, it.surplus())
}

fn controls(out: &mut String, it: &Controls<'_>) -> fmt::Result {
    let logs = it.logs();
    let len = logs.len().saturating_sub(1);
    line!(out, 2, "C, control change: S={} LEN={len}", bit(it.s()))?;
    for log in logs.iter() {
        let (s, number) = (bit(log.s), log.controller);
        match log.tool {
            ControlTool::Value(value) => {
                line!(out, 3, "S={s} NUMBER={number} A=0 VALUE={value}")
            }
            ControlTool::Toggle(alt) => {
                line!(
                    out,
                    3,
                    "S={s} NUMBER={number} A=1 T=0 ALT={} (toggles)",
                    alt.get()
                )
            }
            ControlTool::Count(alt) => {
                line!(
                    out,
                    3,
                    "S={s} NUMBER={number} A=1 T=1 ALT={} (count)",
                    alt.get()
                )
            }
        }?;
    }
    Ok(())
}

fn parameters(out: &mut String, it: &Parameters<'_>) -> fmt::Result {
    let flags = it.logs().flags();
    indent(out, 2);
    write!(
        out,
        "M, parameters: S={} P={} E={} U={} W={} Z={} LENGTH={}",
        bit(it.s()),
        bit(it.pending().is_some()),
        bit(it.in_progress()),
        bit(flags.registered),
        bit(flags.non_registered),
        bit(flags.low),
        it.encoded_len()
    )?;
    match it.pending() {
        Some(Pending::Registered(value)) => write!(out, " Q=0 PENDING={value}")?,
        Some(Pending::NonRegistered(value)) => write!(out, " Q=1 PENDING={value}")?,
        None => {}
    }
    out.push('\n');
    it.logs().iter().try_for_each(|log| parameter(out, &log))
}

fn parameter(out: &mut String, log: &ParameterLog) -> fmt::Result {
    let (q, name, number) = match log.parameter {
        Parameter::Registered(number) => (0, "RPN", number),
        Parameter::NonRegistered(number) => (1, "NRPN", number),
    };
    indent(out, 3);
    write!(
        out,
        "S={} PNUM-LSB={} Q={q} PNUM-MSB={} ({name} {}) J={} K={} L={} M={} N={} T={} V={}",
        bit(log.s),
        number.lsb(),
        number.msb(),
        number.get(),
        bit(log.entry_msb.is_some()),
        bit(log.entry_lsb.is_some()),
        bit(log.a_button.is_some()),
        bit(log.c_button.is_some()),
        bit(log.count.is_some()),
        bit(log.uses_count),
        bit(log.uses_value)
    )?;
    let entries: [(&str, Option<Entry>); 3] = [
        ("ENTRY-MSB", log.entry_msb),
        ("ENTRY-LSB", log.entry_lsb),
        ("COUNT", log.count),
    ];
    for (name, entry) in entries {
        if let Some(it) = entry {
            write!(out, " {name}={} (X={})", it.value, bit(it.stale))?;
        }
    }
    if let Some((steps, stale)) = log.a_button {
        write!(out, " A-BUTTON={} (X={})", steps.get(), bit(stale))?;
    }
    if let Some(steps) = log.c_button {
        write!(out, " C-BUTTON={}", steps.get())?;
    }
    out.push('\n');
    Ok(())
}

fn notes(out: &mut String, it: &Notes<'_>) -> fmt::Result {
    let (low, high) = it.range();
    line!(
        out,
        2,
        "N, notes: B={} LEN={} LOW={} HIGH={}",
        bit(it.b()),
        it.logs().len().min(127),
        low.get(),
        high.get()
    )?;
    for log in it.logs().iter() {
        line!(
            out,
            3,
            "S={} NOTENUM={} Y={} VELOCITY={} (on{})",
            bit(log.s),
            log.note,
            bit(log.play),
            log.velocity,
            if log.play { ", worth playing" } else { "" }
        )?;
    }
    if !it.off().is_empty() {
        indent(out, 3);
        out.push_str("off:");
        for note in it.off().iter() {
            write!(out, " {note}")?;
        }
        out.push('\n');
    }
    Ok(())
}

fn extras(out: &mut String, it: &Extras<'_>) -> fmt::Result {
    let logs = it.logs();
    let len = logs.len().saturating_sub(1);
    line!(out, 2, "E, note extras: S={} LEN={len}", bit(it.s()))?;
    for log in logs.iter() {
        let (s, note) = (bit(log.s), log.note);
        match log.extra {
            Extra::Count(count) => line!(out, 3, "S={s} NOTENUM={note} V=0 COUNT={count}"),
            Extra::ReleaseVelocity(velocity) => {
                line!(
                    out,
                    3,
                    "S={s} NOTENUM={note} V=1 VELOCITY={velocity} (release)"
                )
            }
        }?;
    }
    Ok(())
}

fn poly_pressure(out: &mut String, it: &PolyPressure<'_>) -> fmt::Result {
    let logs = it.logs();
    let len = logs.len().saturating_sub(1);
    line!(out, 2, "A, poly aftertouch: S={} LEN={len}", bit(it.s()))?;
    for log in logs.iter() {
        line!(
            out,
            3,
            "S={} NOTENUM={} X={} PRESSURE={}",
            bit(log.s),
            log.note,
            bit(log.stale),
            log.pressure
        )?;
    }
    Ok(())
}

fn system(out: &mut String, it: &SystemJournal<'_>) -> fmt::Result {
    indent(out, 1);
    write!(
        out,
        "system: S={} LENGTH={} chapters ",
        bit(it.s),
        it.encoded_len() + it.surplus().len()
    )?;
    out.extend(it.toc().map(|chapter| chapter.letter()));
    out.push('\n');
    if let Some(it) = &it.simple {
        simple(out, it)?;
    }
    if let Some(it) = it.active_sense {
        line!(
            out,
            2,
            "V, active sense: S={} COUNT={}",
            bit(it.s),
            it.count
        )?;
    }
    if let Some(it) = it.sequencer {
        indent(out, 2);
        write!(
            out,
            "Q, sequencer: S={} N={} D={} C={} T={} TOP={}",
            bit(it.s),
            bit(it.running),
            bit(it.played),
            bit(it.clock.is_some()),
            bit(it.time_tools.is_some()),
            it.top.get()
        )?;
        if let Some(clock) = it.clock {
            write!(out, " CLOCK={clock}")?;
        }
        if let Some(millis) = it.time_tools {
            write!(out, " TIMETOOLS={} ms", millis.get())?;
        }
        out.push('\n');
    }
    if let Some(it) = &it.timecode {
        timecode(out, it)?;
    }
    if let Some(logs) = &it.sysex {
        line!(out, 2, "X, system exclusive:")?;
        for log in logs.iter() {
            sysex(out, &log)?;
        }
    }
    surplus(out, 2, it.surplus())
}

fn simple(out: &mut String, it: &Simple<'_>) -> fmt::Result {
    let toc = simple_toc(it);
    line!(out, 2, "D, simple system commands: S={} {toc}", bit(it.s))?;
    if let Some(log) = it.reset {
        line!(out, 3, "reset: S={} COUNT={}", bit(log.s), log.count)?;
    }
    if let Some(log) = it.tune_request {
        line!(out, 3, "tune request: S={} COUNT={}", bit(log.s), log.count)?;
    }
    if let Some(log) = it.song_select {
        line!(out, 3, "song select: S={} VALUE={}", bit(log.s), log.song)?;
    }
    for (name, log) in [("F4", &it.f4), ("F5", &it.f5)] {
        if let Some(log) = log {
            undefined(out, name, log)?;
        }
    }
    for (name, log) in [("F9", &it.f9), ("FD", &it.fd)] {
        if let Some(log) = log {
            real_time(out, name, log)?;
        }
    }
    Ok(())
}

fn undefined(out: &mut String, name: &str, log: &UndefinedLog<'_>) -> fmt::Result {
    indent(out, 3);
    write!(
        out,
        "undefined {name}: S={} C={} V={} L={} DSZ={} LENGTH={}",
        bit(log.s()),
        bit(log.count().is_some()),
        bit(log.value().is_some()),
        bit(log.legal().is_some()),
        log.size() as u8,
        log.encoded_len()
    )?;
    if let Some(count) = log.count() {
        write!(out, " COUNT={count}")?;
    }
    if let Some(value) = log.value() {
        out.push_str(" VALUE=");
        hex(out, value.iter())?;
    }
    legal(out, log.legal())
}

fn real_time(out: &mut String, name: &str, log: &RealTimeLog<'_>) -> fmt::Result {
    indent(out, 3);
    write!(
        out,
        "undefined {name}: S={} C={} L={} LENGTH={}",
        bit(log.s()),
        bit(log.count().is_some()),
        bit(log.legal().is_some()),
        log.encoded_len()
    )?;
    if let Some(count) = log.count() {
        write!(out, " COUNT={count}")?;
    }
    legal(out, log.legal())
}

fn legal(out: &mut String, octets: Option<&[u8]>) -> fmt::Result {
    if let Some(octets) = octets {
        out.push_str(" LEGAL=");
        hex(out, octets.iter().copied())?;
    }
    out.push('\n');
    Ok(())
}

fn timecode(out: &mut String, it: &Timecode) -> fmt::Result {
    let are_quarters = matches!(it.complete, Some(Complete::QuarterFrames(_)));
    line!(
        out,
        2,
        "F, MIDI time code: S={} C={} P={} Q={} D={} POINT={}",
        bit(it.s),
        bit(it.complete.is_some()),
        bit(it.partial.is_some()),
        bit(are_quarters),
        bit(it.reverse),
        it.point.get()
    )?;
    match it.complete {
        Some(Complete::FullFrame([hr, mn, sc, fr])) => line!(
            out,
            3,
            "COMPLETE: HR={} MN={} SC={} FR={}",
            hr.get(),
            mn.get(),
            sc.get(),
            fr.get()
        )?,
        Some(Complete::QuarterFrames(it)) => quarters(out, "COMPLETE", it)?,
        None => {}
    }
    match it.partial {
        Some(it) => quarters(out, "PARTIAL", it),
        None => Ok(()),
    }
}

fn quarters(out: &mut String, name: &str, quarters: [U4; 8]) -> fmt::Result {
    indent(out, 3);
    write!(out, "{name}:")?;
    for (index, quarter) in quarters.into_iter().enumerate() {
        write!(out, " MT{index}={}", quarter.get())?;
    }
    out.push('\n');
    Ok(())
}

fn sysex(out: &mut String, log: &SysExLog<'_>) -> fmt::Result {
    indent(out, 3);
    write!(
        out,
        "S={} T={} C={} F={} D={} L={} STA={}",
        bit(log.s),
        bit(log.type_count.is_some()),
        bit(log.count.is_some()),
        bit(log.first.is_some()),
        bit(log.data.is_some()),
        bit(log.list),
        log.status as u8
    )?;
    if let Some(count) = log.type_count {
        write!(out, " TCOUNT={count}")?;
    }
    if let Some(count) = log.count {
        write!(out, " COUNT={count}")?;
    }
    if let Some(first) = log.first {
        write!(out, " FIRST={}", first.get())?;
    }
    if let Some(data) = log.data {
        out.push_str(" DATA=");
        hex(out, data.iter())?;
    }
    out.push('\n');
    Ok(())
}
