//! Input that ends when the command is told to end, so that what was found so far is still said.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::failure::Failure;
use crate::stop::Stop;

/// Octets asked for at once.
const PIECE: usize = 1 << 18;
/// Pieces that wait.
const WAITING: usize = 4;
/// Ctrl-C goes to everybody in a pipe: whoever writes has so long to hand on what it still holds.
const GRACE: Duration = Duration::from_millis(300);

/// Reads in a thread of its own.
#[derive(Debug)]
pub(crate) struct Live {
    pieces: Receiver<Piece>,
    piece: io::Cursor<Vec<u8>>,
    ended: bool,
}

#[derive(Debug)]
enum Piece {
    Octets(Vec<u8>),
    Error(io::Error),
    /// The end of the input, or the wish that the command ends.
    End,
}

impl Live {
    pub(crate) fn new(input: Box<dyn Read + Send>) -> Result<Self, Failure> {
        let (sender, pieces) = sync_channel(WAITING);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::of(&error))?;
        // From here on no signal is missed.
        let mut stop = runtime.block_on(async { Stop::listen() })?;
        let wish = sender.clone();
        thread::spawn(move || {
            runtime.block_on(stop.wait());
            thread::sleep(GRACE);
            // Nobody takes it when the input has ended meanwhile.
            let _ = wish.send(Piece::End);
        });
        thread::spawn(move || read_all(input, &sender));
        Ok(Self {
            pieces,
            piece: io::Cursor::default(),
            ended: false,
        })
    }
}

fn read_all(mut input: impl Read, to: &SyncSender<Piece>) {
    loop {
        let mut octets = vec![0; PIECE];
        let piece = match input.read(&mut octets) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Piece::Error(error),
            Ok(0) => Piece::End,
            Ok(len) => {
                octets.truncate(len);
                Piece::Octets(octets)
            }
        };
        let ends = !matches!(piece, Piece::Octets(_));
        if to.send(piece).is_err() || ends {
            return;
        }
    }
}

impl Read for Live {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(out)?;
            if read > 0 || self.ended || out.is_empty() {
                return Ok(read);
            }
            match self.pieces.recv() {
                Ok(Piece::Octets(octets)) => self.piece = io::Cursor::new(octets),
                Ok(Piece::Error(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                Ok(Piece::End) | Err(_) => self.ended = true,
            }
        }
    }
}
