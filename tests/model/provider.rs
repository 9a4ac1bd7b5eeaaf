//! The token endpoint, as strict as its mode: a spent token that comes back ends the whole grant.

use crate::history::Presentation;
use crate::world::{Answer, Reply, Rules, TokenId, World, spend};

/// How long a presented token stays good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Strict,
    /// It does not rotate.
    Reusable,
    /// Until a successor is presented.
    UntilSuccessorUsed,
    /// For a while.
    Timed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Life {
    Live,
    /// Presented, and within its window still good.
    Spent,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Issued {
    authorisation: u8,
    parent: Option<TokenId>,
    life: Life,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Provider {
    issued: Vec<Issued>,
    authorisations: u8,
    /// A spent token came back while a successor lived: the live grant was killed.
    pub killed: bool,
}

impl Provider {
    /// A person consents: a new grant, beside older ones.
    pub fn authorise(&mut self) -> TokenId {
        self.authorisations += 1;
        self.issue(self.authorisations, None)
    }

    pub fn live(&self) -> impl Iterator<Item = TokenId> {
        let live = |(id, issued): (usize, &Issued)| (issued.life == Life::Live).then_some(id);
        self.issued.iter().enumerate().filter_map(live).map(|id| TokenId::try_from(id).unwrap())
    }

    /// The person disconnects the application.
    pub fn disconnect(&mut self) {
        for issued in &mut self.issued {
            issued.life = Life::Dead;
        }
    }

    fn issue(&mut self, authorisation: u8, parent: Option<TokenId>) -> TokenId {
        self.issued.push(Issued { authorisation, parent, life: Life::Live });
        TokenId::try_from(self.issued.len() - 1).unwrap()
    }

    fn present(&mut self, mode: Mode, token: TokenId) -> Reply {
        let presented = self.issued[usize::from(token)];
        match (presented.life, mode) {
            (Life::Live, Mode::Reusable) => Reply::Tokens(None),
            (Life::Live, _) => {
                if mode == Mode::UntilSuccessorUsed {
                    self.successor_used(token);
                }
                self.issued[usize::from(token)].life =
                    if mode == Mode::Strict { Life::Dead } else { Life::Spent };
                Reply::Tokens(Some(self.issue(presented.authorisation, Some(token))))
            }
            (Life::Spent, _) => Reply::Tokens(Some(self.issue(presented.authorisation, Some(token)))),
            (Life::Dead, _) => {
                let family = |issued: &&mut Issued| {
                    issued.authorisation == presented.authorisation && issued.life != Life::Dead
                };
                for issued in self.issued.iter_mut().filter(family) {
                    self.killed |= issued.life == Life::Live;
                    issued.life = Life::Dead;
                }
                Reply::Rejected
            }
        }
    }

    /// Of several successors the one that is used stays.
    fn successor_used(&mut self, token: TokenId) {
        let Some(parent) = self.issued[usize::from(token)].parent else { return };
        self.issued[usize::from(parent)].life = Life::Dead;
        for (id, issued) in self.issued.iter_mut().enumerate() {
            if issued.parent == Some(parent) && id != usize::from(token) {
                issued.life = Life::Dead;
            }
        }
    }
}

impl World {
    /// The origin works on a request, whether or not anyone waits for it.
    pub fn process(&mut self, rules: &Rules, index: usize) -> bool {
        let held = self.requests.remove(index).held;
        self.history.presentations.push(Presentation::from(held));
        let reply = self.provider.present(rules.provider, held.token);
        self.reply(Answer { held, reply });
        true
    }

    /// The endpoint answers before processing.
    pub fn refuse(&mut self, index: usize) -> bool {
        let held = self.requests.remove(index).held;
        self.history.presentations.push(Presentation::from(held));
        self.reply(Answer { held, reply: Reply::Refused });
        spend(&mut self.left.refusals)
    }

    fn reply(&mut self, answer: Answer) {
        self.answers.push(answer);
        if !self.awaited(&answer.held) {
            self.drop_answer(self.answers.len() - 1);
        }
    }

    /// A pair that is lost before anyone made it durable: the price that nobody can avoid.
    pub fn drop_answer(&mut self, index: usize) {
        if let Reply::Tokens(Some(token)) = self.answers.remove(index).reply {
            self.history.excused.insert(token);
        }
    }

    pub fn lose_request(&mut self, index: usize) -> bool {
        self.requests.remove(index);
        spend(&mut self.left.losses)
    }

    pub fn lose_answer(&mut self, index: usize) -> bool {
        self.drop_answer(index);
        spend(&mut self.left.losses)
    }

    pub fn disconnect(&mut self) -> bool {
        self.provider.disconnect();
        spend(&mut self.left.disconnects)
    }

    /// The provider's window ends, never before a request that was sent in it is processed: its promise.
    pub fn close_windows(&mut self, rules: &Rules) -> bool {
        let within = |request: &crate::world::Request| {
            self.provider.issued[usize::from(request.held.token)].life == Life::Spent
        };
        if !self.late || rules.provider != Mode::Timed || self.requests.iter().any(within) {
            return false;
        }
        for issued in self.provider.issued.iter_mut().filter(|issued| issued.life == Life::Spent) {
            issued.life = Life::Dead;
        }
        true
    }

    pub fn tick(&mut self) -> bool {
        self.late = true;
        spend(&mut self.left.ticks)
    }
}
