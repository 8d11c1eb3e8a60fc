//! The port of a master, or of an agent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::{Answer, Message, Server};
use crate::{ExchangeId, Request};

/// A request's body may have so many bytes.
const MAX_BODY: usize = 256 << 20;

/// A piece of a streaming answer.
pub(super) enum Piece {
    /// A chunk.
    Data(Bytes),
    /// Break the connection off.
    Cut,
}

/// An open port. Dropping it closes the port and breaks its connections.
pub(super) struct Door(JoinHandle<()>);

impl Drop for Door {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn open(server: Server, listener: TcpListener, messages: mpsc::UnboundedSender<Message>) -> Door {
    Door(tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(server, stream, messages.clone()));
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }))
}

async fn serve(server: Server, stream: TcpStream, messages: mpsc::UnboundedSender<Message>) {
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(|request| answer(server, request, messages.clone()));
    let connection = hyper::server::conn::http1::Builder::new()
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(?server, %error, "connection ended");
    }
}

/// Hands a request to the cluster and waits for the head of its answer. An error breaks the connection off.
async fn answer(
    server: Server,
    request: hyper::Request<Incoming>,
    messages: mpsc::UnboundedSender<Message>,
) -> io::Result<hyper::Response<AnswerBody>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let request = Request {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body,
    };
    let broken = || io::Error::from(io::ErrorKind::ConnectionAborted);
    let (reply, answer) = oneshot::channel();
    messages.send(Message::Request { server, request, reply }).map_err(|_| broken())?;
    let Answer { exchange, response, pieces } = answer.await.map_err(|_| broken())?;
    // In the order of the real master's.
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let mut builder = hyper::Response::builder().status(response.status).header("Date", date);
    if pieces.is_some() {
        builder = builder.header("Transfer-Encoding", "chunked");
    }
    for (name, value) in response.headers {
        builder = builder.header(name, value);
    }
    let body = match pieces {
        Some(pieces) => AnswerBody::Stream { pieces, exchange, messages },
        None => AnswerBody::Whole(response.body.filter(|body| !body.is_empty())),
    };
    builder.body(body).map_err(io::Error::other)
}

/// An answer's body; the end of a stream is reported when hyper lets go of it, for whatever reason.
enum AnswerBody {
    Whole(Option<Bytes>),
    Stream { pieces: mpsc::Receiver<Piece>, exchange: ExchangeId, messages: mpsc::UnboundedSender<Message> },
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Stream { pieces, .. } => pieces.poll_recv(cx).map(|piece| {
                piece.map(|piece| match piece {
                    Piece::Data(data) => Ok(Frame::data(data)),
                    Piece::Cut => Err(io::ErrorKind::ConnectionAborted.into()),
                })
            }),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(body) => http_body::SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream { .. } => http_body::SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Self::Stream { exchange, messages, .. } = self {
            let _ = messages.send(Message::Closed(*exchange));
        }
    }
}
