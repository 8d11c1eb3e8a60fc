//! TLS on a socket.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos_core::{Failure, FailureKind, Sent};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::Http;
use crate::connect::Socket;

pub(crate) type TlsStream = StreamOwned<ClientConnection, Timed>;

/// A socket that gives up at some time, if one is set.
#[derive(Debug)]
pub(crate) struct Timed {
    socket: Arc<Socket>,
    until: Option<Instant>,
}

impl Timed {
    fn limit(&self) -> io::Result<()> {
        let Some(until) = self.until else { return Ok(()) };
        match until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => self.socket.set_timeout(Some(left)),
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.limit()?;
        self.socket.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.limit()?;
        self.socket.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shakes hands, and leaves the socket without a time limit.
pub(crate) fn handshake(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    socket: &Arc<Socket>,
    deadline: Instant,
    http: &Http,
) -> Result<TlsStream, Failure> {
    let failed = |detail: String| Failure::new(FailureKind::Tls, Sent::No, detail);
    let timed = Timed { socket: socket.clone(), until: Some(deadline) };
    let connection = ClientConnection::new(config, name).map_err(|e| failed(e.to_string()))?;
    let mut stream = StreamOwned::new(connection, timed);
    let shaken = stream.conn.complete_io(&mut stream.sock).map(drop);
    shaken.map_err(|error| match error.kind() {
        // A read that takes too long would block, in the system's words.
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            failed(format!("not within {:?}", http.connect_timeout()))
        }
        _ => failed(error.to_string()),
    })?;
    stream.sock.until = None;
    socket.set_timeout(None).map_err(|e| failed(e.to_string()))?;
    Ok(stream)
}
