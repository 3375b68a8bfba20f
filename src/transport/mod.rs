//! Connections: plain or TLS, and who showed which certificate. Knows no call.

mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

pub use tls::{Tls, TlsError};

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes at once: what does not even say hello must not hold memory without bound.
const HANDSHAKES: usize = 256;

/// A listener that can take nobody (no file handles left, say) is asked again after that.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: Option<SocketAddr>,
    /// The names in the certificate that it showed, verified: `uri:…`, `dns:…`, and `sha256:…` of the certificate itself.
    pub names: Arc<[String]>,
}

/// A connection to this server.
pub enum Connection {
    /// In clear.
    Plain(TcpStream),
    /// Encrypted, after its handshake.
    Tls(Box<TlsStream<TcpStream>>, Arc<[String]>),
}

impl Connection {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream, _) => stream.get_ref().0,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        let names = match self {
            Self::Plain(_) => Arc::default(),
            Self::Tls(_, names) => Arc::clone(names),
        };
        Peer { address: self.socket().peer_addr().ok(), names }
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Connection::Plain($stream) => $call,
            Connection::Tls($stream, _) => $call,
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream, _) => stream.is_write_vectored(),
        }
    }
}

/// Connections of a listener until `closing`. Handshakes run beside each other, so that a slow one keeps nobody waiting; what
/// is no TLS is dropped.
pub fn connections(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    closing: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (taken, connections) = mpsc::channel(64);
    tokio::spawn(async move {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        loop {
            let accepted = tokio::select! {
                () = closing.cancelled() => return,
                () = taken.closed() => return,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "no connection can be taken");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // Without it the last packet of every small answer waits for an acknowledgement.
            let _ = stream.set_nodelay(true);
            let Some(tls) = tls.clone() else {
                if taken.send(Ok(Connection::Plain(stream))).await.is_err() {
                    return;
                }
                continue;
            };
            let Ok(slot) = Arc::clone(&handshakes).acquire_owned().await else { return };
            let taken = taken.clone();
            tokio::spawn(async move {
                match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                    // A server that stops takes nobody.
                    Ok(Ok(connection)) => drop(taken.send(Ok(connection)).await),
                    Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
                    Err(_) => tracing::debug!("a handshake took too long"),
                }
                drop(slot);
            });
        }
    });
    ReceiverStream::new(connections)
}
