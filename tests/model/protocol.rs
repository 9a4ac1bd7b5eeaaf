//! The model: which steps a world offers, and what each leads to.

use stateright::{Model, Property};

use crate::properties;
use crate::replica::Move;
use crate::world::{Budget, Rules, World};

#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub rules: Rules,
    pub budget: Budget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Replica(usize, Move),
    CommitQueued(usize),
    DropQueued(usize),
    Process(usize),
    Refuse(usize),
    LoseRequest(usize),
    LoseAnswer(usize),
    Drain(usize),
    Sweep,
    Resolve,
    PermitReplay,
    Begin,
    Promote(usize),
    Revoke,
    Disconnect,
    /// Forgets this many commits.
    FailOver(usize),
    Tick,
    CloseWindows,
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.rules, self.budget).normalised()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let mut moves = Vec::new();
        for (index, replica) in world.replicas.iter().enumerate() {
            // Equal replicas stand side by side: one of them is enough.
            if index > 0 && world.replicas[index - 1] == *replica {
                continue;
            }
            replica.moves(&self.rules, world, &mut moves);
            actions.extend(moves.drain(..).map(|step| Action::Replica(index, step)));
        }
        let left = &world.left;
        let each = |list: usize, action: fn(usize) -> Action| (0..list).map(action);
        let some = |condition: bool, action: Action| condition.then_some(action);
        actions.extend(each(world.database.queue.len(), Action::CommitQueued));
        actions.extend(each(world.database.queue.len(), Action::DropQueued));
        actions.extend(each(world.requests.len(), Action::Process));
        if left.refusals > 0 {
            actions.extend(each(world.requests.len(), Action::Refuse));
        }
        if left.losses > 0 {
            actions.extend(each(world.requests.len(), Action::LoseRequest));
            actions.extend(each(world.answers.len(), Action::LoseAnswer));
        }
        actions.extend(each(world.journal.len(), Action::Drain));
        actions.extend(each(world.candidates.len(), Action::Promote));
        if left.failovers > 0 {
            actions.extend((1..=world.database.past.len()).map(Action::FailOver));
        }
        actions.extend([Action::Sweep, Action::Resolve, Action::PermitReplay]);
        actions.extend(some(left.reauthorisations > 0, Action::Begin));
        actions.extend(some(left.revocations > 0, Action::Revoke));
        actions.extend(some(left.disconnects > 0, Action::Disconnect));
        actions.extend(some(left.ticks > 0, Action::Tick));
        actions.extend(some(world.late, Action::CloseWindows));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let rules = &self.rules;
        let mut next = world.clone();
        let happened = match action {
            Action::Replica(index, step) => next.step(rules, index, step),
            Action::CommitQueued(index) => next.commit_queued(rules, index),
            Action::DropQueued(index) => next.drop_queued(index),
            Action::Process(index) => next.process(rules, index),
            Action::Refuse(index) => next.refuse(index),
            Action::LoseRequest(index) => next.lose_request(index),
            Action::LoseAnswer(index) => next.lose_answer(index),
            Action::Drain(index) => next.drain(rules, index),
            Action::Sweep => next.sweep(rules),
            Action::Resolve => next.resolve(rules),
            Action::PermitReplay => next.permit_replay(rules),
            Action::Begin => next.begin(),
            Action::Promote(index) => next.promote(rules, index),
            Action::Revoke => next.revoke(rules),
            Action::Disconnect => next.disconnect(),
            Action::FailOver(commits) => next.fail_over(commits),
            Action::Tick => next.tick(),
            Action::CloseWindows => next.close_windows(rules),
        };
        happened.then(|| next.normalised()).filter(|next| next != world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
