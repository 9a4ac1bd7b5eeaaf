//! What replicas tell each other, and how it is written. Pure.

use uuid::Uuid;

use crate::model::Generation;

/// Of this way to write them. Others are ignored: replicas of two versions live side by side during an upgrade.
const VERSION: &str = "1";

/// Something that another replica should know soon. It only makes things faster: whoever can write to Redis can send
/// any, and the worst is a look into the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A connection or an OAuth client has a new generation or state: forget it, and look again.
    Moved {
        /// Its uid.
        subject: Uuid,
        /// The generation that it has now.
        generation: Generation,
    },
    /// A lease, a trial or a slot was given back: somebody else may try.
    Released {
        /// The connection or OAuth client.
        subject: Uuid,
    },
    /// What was learned of a client's secret.
    Standing {
        /// The OAuth client.
        client: Uuid,
        /// The version of its secret.
        secret_version: u32,
        /// Whether the provider accepted it.
        proven: bool,
    },
    /// Signals may have been missed: whatever is remembered may be old.
    Lapsed,
}

/// What is on the channel: Redis's, or the database's where there is no Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// For everybody.
    Signal(Signal),
    /// For the sender: the channel works.
    Beat,
}

impl Message {
    /// As text, with who sends it.
    #[must_use]
    pub fn encode(self, sender: Uuid) -> String {
        let sender = sender.simple();
        match self {
            Self::Signal(Signal::Moved { subject, generation }) => {
                format!("{VERSION} {sender} moved {} {generation}", subject.simple())
            }
            Self::Signal(Signal::Released { subject }) => {
                format!("{VERSION} {sender} released {}", subject.simple())
            }
            Self::Signal(Signal::Standing { client, secret_version, proven }) => {
                format!("{VERSION} {sender} standing {} {secret_version} {proven}", client.simple())
            }
            Self::Signal(Signal::Lapsed) => format!("{VERSION} {sender} lapsed"),
            Self::Beat => format!("{VERSION} {sender} beat"),
        }
    }

    /// A message per line: a later version may send many in one. What is not understood is left out.
    pub(super) fn decode_all(text: &[u8]) -> impl Iterator<Item = (Uuid, Self)> {
        text.split(|byte| *byte == b'\n').filter_map(Self::decode)
    }

    /// Who sent what. `None`: not of this version, or not a message at all.
    #[must_use]
    pub fn decode(text: &[u8]) -> Option<(Uuid, Self)> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        if words.next()? != VERSION {
            return None;
        }
        let sender = words.next()?.parse().ok()?;
        let uuid = |words: &mut std::str::Split<'_, char>| words.next()?.parse::<Uuid>().ok();
        let message = match words.next()? {
            "moved" => Self::Signal(Signal::Moved {
                subject: uuid(&mut words)?,
                generation: Generation(words.next()?.parse().ok()?),
            }),
            "released" => Self::Signal(Signal::Released { subject: uuid(&mut words)? }),
            "standing" => Self::Signal(Signal::Standing {
                client: uuid(&mut words)?,
                secret_version: words.next()?.parse().ok()?,
                proven: words.next()?.parse().ok()?,
            }),
            "lapsed" => Self::Signal(Signal::Lapsed),
            "beat" => Self::Beat,
            _ => return None,
        };
        words.next().is_none().then_some((sender, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Uuid = Uuid::from_u128(7);
    const SUBJECT: Uuid = Uuid::from_u128(u128::MAX - 1);

    #[test]
    fn every_message_is_read_as_it_was_written() {
        for message in [
            Message::Signal(Signal::Moved { subject: SUBJECT, generation: Generation(u64::MAX) }),
            Message::Signal(Signal::Released { subject: SUBJECT }),
            Message::Signal(Signal::Standing { client: SUBJECT, secret_version: 3, proven: true }),
            Message::Signal(Signal::Standing { client: SUBJECT, secret_version: u32::MAX, proven: false }),
            Message::Signal(Signal::Lapsed),
            Message::Beat,
        ] {
            assert_eq!(Message::decode(message.encode(SENDER).as_bytes()), Some((SENDER, message)));
        }
    }

    #[test]
    fn many_are_read_line_by_line() {
        let messages = [Message::Beat, Message::Signal(Signal::Released { subject: SUBJECT })];
        let lines = messages.map(|message| message.encode(SENDER)).join("\nof another version\n");
        let read: Vec<_> = Message::decode_all(lines.as_bytes()).collect();
        assert_eq!(read, messages.map(|message| (SENDER, message)));
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        let good = Message::Signal(Signal::Released { subject: SUBJECT }).encode(SENDER);
        let mut bad = vec![
            String::new(),
            "1".to_owned(),
            good.replacen('1', "2", 1),
            good.replace("released", "released2"),
            format!("{good} more"),
            format!("{good} "),
            Message::Signal(Signal::Lapsed).encode(SENDER).replace("lapsed", "moved"),
        ];
        bad.extend((0..good.len()).map(|end| good[..end].to_owned()));
        for text in bad {
            assert_eq!(Message::decode(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Message::decode(b"\xff\xfe"), None);
    }
}
