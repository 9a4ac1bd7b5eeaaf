use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

use super::*;

/// A socket that does what it is told.
#[derive(Default)]
struct Socket {
    /// What reads return; a read blocks when there is nothing.
    reads: VecDeque<io::Result<&'static [u8]>>,
    /// How many bytes each write takes; `None` is no limit at all.
    takes: Option<VecDeque<usize>>,
    /// What each write took.
    writes: Vec<Vec<u8>>,
    flushes: usize,
    broken: bool,
    shut: bool,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.reads.pop_front() {
            Some(read) => Poll::Ready(read.map(|bytes| buf.put_slice(bytes))),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = match &mut self.takes {
            None => buf.len(),
            Some(takes) => match takes.pop_front() {
                Some(most) => most.min(buf.len()),
                None => return Poll::Pending,
            },
        };
        self.writes.push(buf[..taken].to_vec());
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut = true;
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that owns a corked socket.
struct Task {
    cork: Cork<Socket>,
    wakes: Arc<Wakes>,
    waker: Waker,
}

impl Task {
    fn new(socket: Socket) -> Self {
        let wakes = Arc::new(Wakes::default());
        Self { cork: Cork::new(socket), waker: Waker::from(wakes.clone()), wakes }
    }

    fn read(&mut self) -> Poll<io::Result<Vec<u8>>> {
        let mut bytes = [0; 64];
        let mut buf = ReadBuf::new(&mut bytes);
        let read = Pin::new(&mut self.cork).poll_read(&mut Context::from_waker(&self.waker), &mut buf);
        read.map_ok(|()| buf.filled().to_vec())
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.cork).poll_write(&mut Context::from_waker(&self.waker), bytes)
    }

    fn flush(&mut self) -> Poll<io::Result<()>> {
        Pin::new(&mut self.cork).poll_flush(&mut Context::from_waker(&self.waker))
    }

    fn shutdown(&mut self) -> Poll<io::Result<()>> {
        Pin::new(&mut self.cork).poll_shutdown(&mut Context::from_waker(&self.waker))
    }

    fn woken(&self) -> usize {
        self.wakes.0.swap(0, Ordering::Relaxed)
    }

    fn writes(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.cork.inner.writes)
    }
}

fn done<T: std::fmt::Debug>(poll: Poll<io::Result<T>>) -> T {
    match poll {
        Poll::Ready(Ok(value)) => value,
        other => panic!("{other:?}"),
    }
}

fn failed<T: std::fmt::Debug>(poll: Poll<io::Result<T>>) -> io::ErrorKind {
    match poll {
        Poll::Ready(Err(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_flushed_while_the_reader_waits_leaves_in_one_write_when_it_comes_by() {
    let mut task = Task::new(Socket::default());
    assert!(task.read().is_pending());
    for reply in ["one ", "two ", "three"] {
        assert_eq!(done(task.write(reply.as_bytes())), reply.len());
        done(task.flush());
        assert!(task.woken() > 0, "a flush that is put off wakes the reader");
    }
    assert!(task.writes().is_empty());
    assert!(task.read().is_pending());
    assert_eq!(task.writes(), [b"one two three"]);
    assert_eq!(task.cork.inner.flushes, 1);

    done(task.flush());
    assert_eq!(task.woken(), 0, "nothing is owed any more");
}

#[test]
fn without_a_waiting_reader_a_flush_is_a_flush() {
    let mut task = Task::new(Socket::default());
    done(task.write(b"before the first read"));
    done(task.flush());
    assert_eq!(task.writes(), [b"before the first read"]);

    task.cork.inner.reads.push_back(Ok(b"a call"));
    assert_eq!(done(task.read()), b"a call");
    done(task.write(b"between two reads"));
    done(task.flush());
    assert_eq!(task.writes(), [b"between two reads"]);
}

#[test]
fn after_the_end_of_the_stream_or_an_error_a_flush_is_a_flush() {
    for end in [Ok(&b""[..]), Err(io::ErrorKind::ConnectionReset.into())] {
        let mut task = Task::new(Socket::default());
        assert!(task.read().is_pending());
        task.cork.inner.reads.push_back(end);
        assert!(task.read().is_ready());
        done(task.write(b"last words"));
        done(task.flush());
        assert_eq!(task.writes(), [b"last words"]);
    }
}

#[test]
fn a_flush_put_off_before_the_end_of_the_stream_is_made_good_by_the_next_one() {
    let mut task = Task::new(Socket::default());
    assert!(task.read().is_pending());
    done(task.write(b"put off"));
    done(task.flush());
    task.cork.inner.reads.push_back(Ok(b""));
    assert!(task.woken() > 0);
    assert_eq!(done(task.read()), b"");
    done(task.flush());
    assert_eq!(task.writes(), [b"put off"]);
}

#[test]
fn a_full_socket_pushes_back_and_does_not_spin() {
    let mut task = Task::new(Socket { takes: Some([10].into()), ..Socket::default() });
    assert!(task.read().is_pending());
    done(task.write(&[7; 100]));
    done(task.flush());
    task.woken();
    assert!(task.read().is_pending());
    assert_eq!(task.writes(), [[7; 10]]);
    assert!(task.flush().is_pending(), "as a socket without a cork");
    assert_eq!(task.woken(), 0, "only the socket wakes the task now");

    task.cork.inner.takes = None;
    assert!(task.read().is_pending());
    assert_eq!(task.writes(), [[7; 90]]);
    done(task.write(b"x"));
    done(task.flush());
    assert!(task.woken() > 0, "and flushes are put off again");
}

#[test]
fn no_more_than_the_limit_is_gathered_and_all_of_it_arrives_in_order() {
    let mut task = Task::new(Socket { takes: Some(VecDeque::new()), ..Socket::default() });
    assert!(task.read().is_pending());
    let flood: Vec<u8> = (0..=255).cycle().take(3 * LIMIT).collect();
    let mut written = done(task.write(&flood));
    assert_eq!(written, LIMIT);
    assert!(task.write(&flood[written..]).is_pending());

    task.cork.inner.takes = Some([LIMIT / 2, 100].into());
    assert!(task.write(&flood[written..]).is_pending());
    task.cork.inner.takes = None;
    let slices = [IoSlice::new(&flood[written..written + 10]), IoSlice::new(&flood[written + 10..])];
    let mut cx = Context::from_waker(&task.waker);
    written += done(Pin::new(&mut task.cork).poll_write_vectored(&mut cx, &slices));
    assert_eq!(written, 2 * LIMIT);
    assert!(task.read().is_pending());
    assert_eq!(task.writes().concat(), flood[..written]);
}

#[test]
fn a_write_error_is_the_next_reads() {
    let mut task = Task::new(Socket { broken: true, ..Socket::default() });
    assert!(task.read().is_pending());
    done(task.write(b"to nobody"));
    done(task.flush());
    assert_eq!(failed(task.read()), io::ErrorKind::BrokenPipe);
    assert_eq!(failed(task.shutdown()), io::ErrorKind::BrokenPipe);

    let mut task = Task::new(Socket { takes: Some([0].into()), ..Socket::default() });
    done(task.write(b"to a socket that takes nothing"));
    assert_eq!(failed(task.flush()), io::ErrorKind::WriteZero);
}

#[test]
fn shutdown_sends_what_was_put_off_first() {
    let mut task = Task::new(Socket { takes: Some(VecDeque::new()), ..Socket::default() });
    assert!(task.read().is_pending());
    done(task.write(b"goodbye"));
    done(task.flush());
    assert!(task.shutdown().is_pending());
    assert!(!task.cork.inner.shut);
    task.cork.inner.takes = None;
    done(task.shutdown());
    assert!(task.cork.inner.shut);
    assert_eq!(task.writes(), [b"goodbye"]);
}

#[test]
fn a_burst_does_not_pin_its_memory() {
    let mut task = Task::new(Socket::default());
    assert_eq!(task.cork.gathered.capacity(), 0);
    assert!(task.read().is_pending());
    done(task.write(&vec![0; LIMIT]));
    done(task.flush());
    assert!(task.read().is_pending());
    assert!(task.cork.gathered.capacity() <= KEEP);
}
