//! As much of an HTTP/2 client as the tests need, with every byte in the test's hands.

use std::{io, net::SocketAddr};

use prost::Message as _;
use token_broker_proto::v1::{GetAccessTokenRequest, GetAccessTokenResponse};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::soon;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

/// `END_STREAM`, and ACK on frames that know no streams.
pub(crate) const END: u8 = 1;
const END_HEADERS: u8 = 4;

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// Preface, and settings that let the server send without ever waiting for window updates.
pub(crate) fn opening() -> Vec<u8> {
    let window = [&[0, 4][..], &i32::MAX.to_be_bytes()].concat();
    let more = (i32::MAX - 65_535).to_be_bytes();
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &window),
        frame(WINDOW_UPDATE, 0, 0, &more),
    ]
    .concat()
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A whole `GetAccessToken` call.
pub(crate) fn call(stream: u32, name: &str) -> Vec<u8> {
    let request = GetAccessTokenRequest { name: name.to_owned(), ..Default::default() }.encode_to_vec();
    let length = u32::try_from(request.len()).expect("small").to_be_bytes();
    let body = [&[0], &length[..], &request].concat();
    [headers(stream, "/tokenbroker.v1.TokenService/GetAccessToken"), frame(DATA, END, stream, &body)].concat()
}

/// Calls on streams 1, 3, 5 and so on.
pub(crate) fn calls(names: &[String]) -> Vec<u8> {
    (1..).step_by(2).zip(names).flat_map(|(stream, name)| call(stream, name)).collect()
}

/// The headers of a gRPC call, as literals that are neither indexed nor compressed.
pub(crate) fn headers(stream: u32, path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let text = |text: &str| [&[u8::try_from(text.len()).expect("small")], text.as_bytes()].concat();
    let block: Vec<u8> =
        fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect();
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// A connection.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    /// Connects and says nothing yet.
    pub(crate) async fn silent(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Small, so that a client that does not read is felt soon.
        socket.set_recv_buffer_size(64 * 1024).expect("sets");
        let stream = soon(socket.connect(address)).await.expect("connects");
        stream.set_nodelay(true).expect("sets");
        Self(stream)
    }

    pub(crate) async fn open(address: SocketAddr) -> Self {
        let mut wire = Self::silent(address).await;
        wire.send(&opening()).await;
        wire
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon(self.0.write_all(bytes)).await.expect("writes");
    }

    /// The next frame; `None` when the server has closed the connection. Answers pings.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Frame>> {
        let mut head = [0; 9];
        match soon(self.0.read_exact(&mut head)).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        };
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        let mut payload = vec![0; number(&head[..3]) as usize];
        soon(self.0.read_exact(&mut payload)).await?;
        let received =
            Frame { kind: head[3], flags: head[4], stream: number(&head[5..]) & 0x7fff_ffff, payload };
        if received.kind == PING && received.flags & END == 0 {
            self.0.write_all(&frame(PING, END, 0, &received.payload)).await?;
        }
        Ok(Some(received))
    }

    /// Reads on until a frame is as wanted.
    pub(crate) async fn until(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next().await.expect("reads").expect("more frames");
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// Reads on until the server closes the connection.
    pub(crate) async fn closed(mut self) {
        while self.next().await.expect("no reset").is_some() {}
    }

    /// The whole reply to a call.
    pub(crate) async fn reply(&mut self, stream: u32) -> GetAccessTokenResponse {
        let mut body = Vec::new();
        self.until(|frame| {
            if frame.stream == stream && frame.kind == DATA {
                body.extend_from_slice(&frame.payload);
            }
            frame.stream == stream && frame.kind == HEADERS && frame.flags & END != 0
        })
        .await;
        GetAccessTokenResponse::decode(&body[5..]).expect("a message")
    }

    /// The tokens of replies that come in any order, by stream.
    pub(crate) async fn tokens(&mut self, streams: usize) -> Vec<String> {
        let mut bodies = vec![Vec::new(); streams];
        let mut ended = 0;
        self.until(|frame| {
            match frame.kind {
                DATA => bodies[frame.stream as usize / 2].extend_from_slice(&frame.payload),
                HEADERS if frame.flags & END != 0 => ended += 1,
                _ => {}
            }
            ended == streams
        })
        .await;
        let token =
            |body: &Vec<u8>| GetAccessTokenResponse::decode(&body[5..]).expect("a message").access_token;
        bodies.iter().map(token).collect()
    }

    /// Asks whether the server is there, and hears that it is.
    pub(crate) async fn ping(&mut self, payload: [u8; 8]) {
        self.send(&frame(PING, 0, 0, &payload)).await;
        self.pong(payload).await;
    }

    pub(crate) async fn pong(&mut self, payload: [u8; 8]) {
        self.until(|frame| frame.kind == PING && frame.flags & END != 0 && frame.payload == payload).await;
    }

    /// Goes away without a goodbye.
    pub(crate) fn reset(self) {
        let linger = Some(std::time::Duration::ZERO);
        socket2::SockRef::from(&self.0).set_linger(linger).expect("sets");
    }
}
