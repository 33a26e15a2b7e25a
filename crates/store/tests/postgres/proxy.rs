//! A proxy between a store and its server, that can cut a connection after COMMIT has gone through and before its answer
//! has: what a network does to whoever then does not know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a simple query of COMMIT looks like: its kind, its length, its text.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
/// How long the server has for a commit whose answer nobody will read.
const COMMIT_TIME: std::time::Duration = std::time::Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    cuts_next_commit: AtomicBool,
    cuts: AtomicU32,
}

impl Proxy {
    /// Starts one in front of a server, by host and port.
    pub(crate) async fn start(server: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let faults = Arc::new(Faults::default());
        let known = Arc::clone(&faults);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                tokio::spawn(carry(client, server, Arc::clone(&known)));
            }
        });
        Ok(Self { port, faults })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The next COMMIT goes through, and nothing comes back.
    pub(crate) fn cut_next_commit(&self) {
        self.faults.cuts_next_commit.store(true, Ordering::SeqCst);
    }

    /// Connections cut so far.
    pub(crate) fn cuts(&self) -> u32 {
        self.faults.cuts.load(Ordering::SeqCst)
    }
}

/// Carries one connection until it ends, or is cut.
async fn carry(client: TcpStream, server: TcpStream, faults: Arc<Faults>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_cut = Arc::new(AtomicBool::new(false));
    let answers_are_cut = Arc::clone(&is_cut);
    let back = tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            if answers_are_cut.load(Ordering::SeqCst) {
                return;
            }
            if to_client.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
        let sent = &buffer[..length];
        let commits = sent.windows(COMMIT.len()).any(|window| window == COMMIT);
        let cuts = commits && faults.cuts_next_commit.swap(false, Ordering::SeqCst);
        if cuts {
            is_cut.store(true, Ordering::SeqCst);
            faults.cuts.fetch_add(1, Ordering::SeqCst);
        }
        if to_server.write_all(sent).await.is_err() {
            break;
        }
        if cuts {
            tokio::time::sleep(COMMIT_TIME).await;
            break;
        }
    }
    back.abort();
}
