//! HTTP by hand, for what the library would never send.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// An answer: a whole one, or the first record of one that streams.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "scenarios look at it")]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers in their order, but for `Date`.
    pub headers: Vec<(String, String)>,
    /// The body; of a stream, the first record.
    pub body: String,
}

/// Sends a request to `host:port`, and reads the answer.
///
/// # Panics
///
/// If the answer isn't HTTP, or doesn't come.
pub async fn ask(master: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let exchange = async {
        let mut connection = BufReader::new(TcpStream::connect(master).await.expect("the master listens"));
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {master}\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        connection.write_all(request.as_bytes()).await.expect("the master reads");
        read(&mut connection).await
    };
    tokio::time::timeout(Duration::from_secs(60), exchange).await.expect("an answer")
}

async fn line(connection: &mut BufReader<TcpStream>) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(connection.read_u8().await.expect("a whole answer"));
    }
    String::from_utf8(line).expect("text").trim_end().to_owned()
}

async fn text(connection: &mut BufReader<TcpStream>, length: usize) -> String {
    let mut bytes = vec![0; length];
    connection.read_exact(&mut bytes).await.expect("a whole answer");
    String::from_utf8(bytes).expect("text")
}

async fn read(connection: &mut BufReader<TcpStream>) -> Answer {
    let first = line(connection).await;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut headers = Vec::new();
    loop {
        let header = line(connection).await;
        let Some((name, value)) = header.split_once(": ") else { break };
        if name != "Date" {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    let value = |wanted: &str| headers.iter().find(|header| header.0 == wanted).map(|header| header.1.as_str());
    let body = match value("Content-Length") {
        Some(length) => text(connection, length.parse().expect("a length")).await,
        None => {
            assert_eq!(value("Transfer-Encoding"), Some("chunked"));
            // A chunk is a record: its length, a line feed, and so many bytes.
            line(connection).await;
            let length = line(connection).await.parse().expect("the length of a record");
            text(connection, length).await
        }
    };
    Answer { status, headers, body }
}
