//! Writing to a socket exactly what a fault prescribes, past any HTTP library.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a connection goes through instead of an orderly answer.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    pub(crate) ending: Ending,
}

#[derive(Debug)]
pub(crate) enum Step {
    Pause(Duration),
    Write(Bytes),
    /// So many spaces.
    Pad(u64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    #[default]
    Close,
    Reset,
    /// Silence until the client goes away.
    Hang,
}

impl Script {
    /// Performs the script. A client that goes away ends it early, which is no error.
    pub(crate) async fn run(self, mut stream: TcpStream) {
        for step in self.steps {
            if step.run(&mut stream).await.is_err() {
                return;
            }
        }
        match self.ending {
            // With linger zero, dropping the socket sends RST.
            Ending::Reset => drop(stream.set_zero_linger()),
            Ending::Hang => drain(&mut stream).await,
            Ending::Close => {
                let _ = stream.shutdown().await;
                // Closing with unread bytes would turn the FIN into an RST.
                drain(&mut stream).await;
            }
        }
    }
}

impl Step {
    async fn run(self, stream: &mut TcpStream) -> std::io::Result<()> {
        match self {
            Self::Pause(duration) => tokio::time::sleep(duration).await,
            Self::Write(bytes) => stream.write_all(&bytes).await?,
            Self::Pad(mut bytes) => {
                let spaces = vec![b' '; 1 << 16];
                while bytes > 0 {
                    let piece = usize::try_from(bytes).map_or(spaces.len(), |left| left.min(spaces.len()));
                    stream.write_all(&spaces[..piece]).await?;
                    bytes -= piece as u64;
                }
            }
        }
        Ok(())
    }
}

/// Reads until the client closes or resets.
async fn drain(stream: &mut TcpStream) {
    let mut sink = [0; 4096];
    while stream.read(&mut sink).await.is_ok_and(|read| read > 0) {}
}
